//! An endpoint's URL is parsed twice: by the url crate when it is accepted, and by the http crate
//! when it is requested. Both must read the same from the form that is stored.

use http::Uri;
use keeptrusts_webhooks_domain::endpoint::check_url;
use proptest::prelude::*;
use url::Url;

use crate::target::{Host, Target};

fn assert_parsers_agree(kept: &str) -> Result<(), TestCaseError> {
    let url = Url::parse(kept).expect("what is kept is a URL");
    let kept_again = check_url("url", kept);
    prop_assert_eq!(kept_again.as_deref(), Ok(kept), "it is its own normal form");
    let uri: Uri = kept.parse().map_err(|error| TestCaseError::fail(format!("{error}")))?;
    let target = Target::of(&uri).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
    prop_assert_eq!(Some(target.port), url.port_or_known_default());
    match (target.host, url.host()) {
        (Host::Name(name), Some(url::Host::Domain(domain))) => prop_assert_eq!(name, domain),
        (Host::Address(ours), Some(url::Host::Ipv4(theirs))) => prop_assert_eq!(ours, theirs),
        (Host::Address(ours), Some(url::Host::Ipv6(theirs))) => prop_assert_eq!(ours, theirs),
        (ours, theirs) => prop_assert!(false, "{:?} is not {:?}", ours, theirs),
    }
    let theirs = &url[url::Position::BeforePath..];
    prop_assert_eq!(uri.path_and_query().map(|path| path.as_str()), Some(theirs));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_parsers_agree_on_an_accepted_url(
        url in r"https://[a0-2x.:@/\\\[\]%#?&;, \t_~!$'*+=|^`{}<>\x22０。ａа-]{0,24}"
    ) {
        if let Ok(kept) = check_url("url", &url) {
            assert_parsers_agree(&kept)?;
        }
    }

    #[test]
    fn both_parsers_agree_on_an_accepted_url_whatever_its_path(path in r"\PC{0,24}") {
        if let Ok(kept) = check_url("url", &format!("https://a.example/{path}")) {
            assert_parsers_agree(&kept)?;
        }
    }
}
