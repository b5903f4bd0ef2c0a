//! Names that are not in the public DNS.
//!
//! The check of addresses protects us; this check gives a clear and early error. Where only public
//! addresses are permitted, such a name leads to a refusal or to nothing, and a DNS query would
//! tell strangers about it.
//!
//! `localhost` is not here: it needs no DNS, and its addresses are checked like all others.

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused to look up the URL's host name: {reason} (an operator can permit the network that it is for with --allow-network)"
)]
pub struct RefusedName {
    /// What names like it are for: a sentence without a full stop.
    pub reason: &'static str,
}

/// Domains outside of the public DNS, and what they are for.
const LOCAL_DOMAINS: &[(&str, &str)] = &[
    // RFC 6762 section 3.
    ("local", "names under .local are for one link"),
    // Reserved by ICANN in 2024; metadata.google.internal is one of them.
    ("internal", "names under .internal are for private networks"),
    // RFC 8375.
    ("home.arpa", "names under .home.arpa are for home networks"),
    // RFC 6762 appendix G: not reserved, but widely used on private networks.
    ("corp", "names under .corp are for private networks"),
    ("home", "names under .home are for private networks"),
    ("intranet", "names under .intranet are for private networks"),
    ("lan", "names under .lan are for private networks"),
    ("private", "names under .private are for private networks"),
    // What Linux distributions write into the hosts file.
    ("localdomain", "names under .localdomain are for this machine"),
    // RFC 7686 section 2: not to be looked up in DNS.
    ("onion", "names under .onion are for Tor"),
];

/// Refuses names outside of the public DNS. Ignores a dot at the end and upper case.
pub(crate) fn check_public(name: &str) -> Result<(), RefusedName> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if !name.contains('.') {
        return Err(RefusedName { reason: "names without a dot are for private networks" });
    }
    match LOCAL_DOMAINS.iter().find(|(domain, _)| is_in(name, domain)) {
        Some((_, reason)) => Err(RefusedName { reason }),
        None => Ok(()),
    }
}

/// Whether `name` is `domain` or a subdomain.
fn is_in(name: &str, domain: &str) -> bool {
    let Some(labels_before) = name.len().checked_sub(domain.len()) else { return false };
    let (before, end) = name.as_bytes().split_at(labels_before);
    end.eq_ignore_ascii_case(domain.as_bytes()) && (before.is_empty() || before.ends_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_machine_or_a_private_network_are_told_from_public_ones() {
        for local in [
            "intranet",
            "ip6-localhost",
            "metadata.",
            "printer.local",
            "a.b.LOCAL.",
            "metadata.google.internal",
            "home.arpa",
            "nas.home.arpa",
            "wiki.corp",
            "localhost.localdomain",
        ] {
            assert!(check_public(local).is_err(), "{local}");
        }
        for public in
            ["receiver.example", "local.example", "notlocal.com", "xlan.net.", "a.internal.example"]
        {
            assert_eq!(check_public(public), Ok(()), "{public}");
        }
    }

    #[test]
    fn a_refusal_says_what_the_name_is_for_and_what_to_do() {
        let refusal = check_public("metadata.google.internal").expect_err("a local name");
        assert_eq!(
            refusal.to_string(),
            "refused to look up the URL's host name: names under .internal are for private \
             networks (an operator can permit the network that it is for with --allow-network)"
        );
    }
}
