//! A table of URLs and their results, from an endpoint's form to a connection. It covers both
//! parsers: the domain's (the URL Standard) and ours (RFC 3986).

use std::time::Duration;

use http::Uri;
use keeptrusts_webhooks_domain::endpoint::check_url;
use tokio::time::Instant;

use crate::guard::AddressGuard;
use crate::network::Network;
use crate::ports::PortGuard;
use crate::resolve::Resolver;

#[derive(Debug)]
enum Expected {
    /// No endpoint can have it. The violation contains these words.
    NotKept(&'static str),
    /// An endpoint can have it, but it is not connected to. The failure contains these words.
    NotReached(&'static str),
    /// It leads to these addresses, in this order.
    Reaches(&'static [&'static str]),
}
use Expected::{NotKept, NotReached, Reaches};

/// What the names in the table resolve to.
const NAMES: &str = "
    93.184.215.14         public.example xn--pypal-4ve.example xn--bcher-kva.example a_b.example
    2606:4700:4700::1111  public6.example
    127.0.0.1             loopback.example sneaky.internal
    ::1                   loopback6.example
    192.168.1.1           private.example
    169.254.169.254       metadata.example
    ::ffff:10.0.0.1       mapped.example
    64:ff9b::a9fe:a9fe    nat64.example
    2002:7f00:1::1        sixtofour.example
    0.0.0.0               zero.example
    10.0.0.1              mixed.example
    93.184.215.14         mixed.example
    ::1                   mixed.example
";

const CREDENTIALS: &str = "user name or password";
const NOT_A_NAME: &str = "not a name of letters, digits and hyphens";
const NOT_A_URL: &str = "is not a URL";
const NO_HOST: &str = "has no host";
const CONTROL: &str = "backslash, a line end or another control character";

const LOOPBACK: &str = "loopback address";
const PRIVATE: &str = "private address";
const METADATA: &str = "cloud metadata address";
const LINK_LOCAL: &str = "link-local address";
const UNSPECIFIED: &str = "unspecified address";
const COMPATIBLE: &str = "IPv4-compatible address";
const LOCAL_NAME: &str = "are for private networks";
const PORT: &str = "neither 443 nor over 1023";

#[rustfmt::skip]
const VECTORS: &[(&str, Expected)] = &[
    // What is meant to work.
    ("https://public.example/hook?x=1",             Reaches(&["93.184.215.14:443"])),
    ("https://public.example./",                    Reaches(&["93.184.215.14:443"])),
    ("HTTPS://PUBLIC.Example",                      Reaches(&["93.184.215.14:443"])),
    ("https://public.example:443/",                 Reaches(&["93.184.215.14:443"])),
    ("https://public.example:8443/",                Reaches(&["93.184.215.14:8443"])),
    ("https://public.example:/",                    Reaches(&["93.184.215.14:443"])),
    ("https://public6.example/",                    Reaches(&["[2606:4700:4700::1111]:443"])),
    ("https://a_b.example/",                        Reaches(&["93.184.215.14:443"])),
    ("https://8.8.8.8/",                            Reaches(&["8.8.8.8:443"])),
    ("https://[2606:4700:4700::1111]:1024/",        Reaches(&["[2606:4700:4700::1111]:1024"])),
    ("https://[::ffff:8.8.8.8]/",                   Reaches(&["[::ffff:8.8.8.8]:443"])),
    ("https://[64:ff9b::8.8.8.8]/",                 Reaches(&["[64:ff9b::808:808]:443"])),
    ("https://134744072/",                          Reaches(&["8.8.8.8:443"])),
    ("https://public.example/@127.0.0.1/",          Reaches(&["93.184.215.14:443"])),
    ("https://public.example/?u=https://127.0.0.1", Reaches(&["93.184.215.14:443"])),
    ("https://public.example#@127.0.0.1/",          Reaches(&["93.184.215.14:443"])),
    ("https://public.example?@127.0.0.1/",          Reaches(&["93.184.215.14:443"])),
    // Names in other scripts, and Latin ones in disguise.
    ("https://bücher.example/",                     Reaches(&["93.184.215.14:443"])),
    ("https://pаypal.example/",                     Reaches(&["93.184.215.14:443"])),
    ("https://ｐｕｂｌｉｃ.example/",                 Reaches(&["93.184.215.14:443"])),
    ("https://public。example/",                    Reaches(&["93.184.215.14:443"])),
    ("https://pub\u{ad}lic.example/",               Reaches(&["93.184.215.14:443"])),
    ("https://xn--a.example/",                      NotKept(NOT_A_URL)),
    // IPv4 addresses, by their kind.
    ("https://127.0.0.1/",                          NotReached(LOOPBACK)),
    ("https://127.255.255.254:8080/",               NotReached(LOOPBACK)),
    ("https://0.0.0.0/",                            NotReached(UNSPECIFIED)),
    ("https://0.1.2.3/",                            NotReached("\"this network\"")),
    ("https://10.0.0.1/",                           NotReached(PRIVATE)),
    ("https://172.16.0.1/",                         NotReached(PRIVATE)),
    ("https://172.31.255.255/",                     NotReached(PRIVATE)),
    ("https://192.168.0.1/",                        NotReached(PRIVATE)),
    ("https://100.64.0.1/",                         NotReached("carrier-grade NAT address")),
    ("https://169.254.0.1/",                        NotReached(LINK_LOCAL)),
    ("https://192.0.0.8/",                          NotReached("IETF protocol assignment")),
    ("https://192.0.2.1/",                          NotReached("documentation address")),
    ("https://192.88.99.1/",                        NotReached("6to4 relay anycast address")),
    ("https://198.18.0.1/",                         NotReached("benchmarking address")),
    ("https://224.0.0.1/",                          NotReached("multicast address")),
    ("https://240.0.0.1/",                          NotReached("reserved address")),
    ("https://255.255.255.255/",                    NotReached("broadcast address")),
    // Where clouds hand out credentials.
    ("https://169.254.169.254/latest/meta-data/",   NotReached(METADATA)),
    ("https://169.254.170.2/v2/credentials/",       NotReached(METADATA)),
    ("https://168.63.129.16/",                      NotReached(METADATA)),
    ("https://100.100.100.200/",                    NotReached(METADATA)),
    ("https://192.0.0.192/",                        NotReached(METADATA)),
    ("https://[fd00:ec2::254]/",                    NotReached(METADATA)),
    ("https://[fd20:ce::254]/",                     NotReached(METADATA)),
    ("https://[fe80::a9fe:a9fe]/",                  NotReached(METADATA)),
    ("https://metadata.google.internal/",           NotReached(LOCAL_NAME)),
    ("https://metadata/",                           NotReached(LOCAL_NAME)),
    // The same addresses in other spellings.
    ("https://2130706433/",                         NotReached(LOOPBACK)),
    ("https://0x7f000001/",                         NotReached(LOOPBACK)),
    ("https://0X7F000001/",                         NotReached(LOOPBACK)),
    ("https://017700000001/",                       NotReached(LOOPBACK)),
    ("https://00000000017700000001/",               NotReached(LOOPBACK)),
    ("https://127.1/",                              NotReached(LOOPBACK)),
    ("https://127.0.1/",                            NotReached(LOOPBACK)),
    ("https://127.0x1/",                            NotReached(LOOPBACK)),
    ("https://0x7f.1/",                             NotReached(LOOPBACK)),
    ("https://0177.0.0.1/",                         NotReached(LOOPBACK)),
    ("https://0177.0x0.0.01/",                      NotReached(LOOPBACK)),
    ("https://127.0.0.1./",                         NotReached(LOOPBACK)),
    ("https://127.1./",                             NotReached(LOOPBACK)),
    ("https://2130706433./",                        NotReached(LOOPBACK)),
    ("https://0/",                                  NotReached(UNSPECIFIED)),
    ("https://0x/",                                 NotReached(UNSPECIFIED)),
    ("https://00.00.00.00/",                        NotReached(UNSPECIFIED)),
    ("https://10.1/",                               NotReached(PRIVATE)),
    ("https://012.0.0.1/",                          NotReached(PRIVATE)),
    ("https://192.168.257/",                        NotReached(PRIVATE)),
    ("https://3232235777/",                         NotReached(PRIVATE)),
    ("https://2852039166/",                         NotReached(METADATA)),
    ("https://0xa9fea9fe/",                         NotReached(METADATA)),
    ("https://0xA9.0xFE.0xA9.0xFE/",                NotReached(METADATA)),
    ("https://0251.0376.0251.0376/",                NotReached(METADATA)),
    ("https://169.254.43518/",                      NotReached(METADATA)),
    ("https://169.0xFEA9FE/",                       NotReached(METADATA)),
    ("https://%31%32%37.0.0.1/",                    NotReached(LOOPBACK)),
    ("https://127%2e0%2e0%2e1/",                    NotReached(LOOPBACK)),
    ("https://１２７.０.０.１/",                       NotReached(LOOPBACK)),
    ("https://127。0。0。1/",                        NotReached(LOOPBACK)),
    ("https://127．0．0．1/",                        NotReached(LOOPBACK)),
    ("https://①②⑦.⓪.⓪.①/",                         NotReached(LOOPBACK)),
    ("https://169。254｡169．254/",                   NotReached(METADATA)),
    ("https://%EF%BC%91%EF%BC%92%EF%BC%97.1/",      NotReached(LOOPBACK)),
    ("https://127.0.0.\u{ad}1/",                    NotReached(LOOPBACK)),
    // Numbers that are no address.
    ("https://256.0.0.1/",                          NotKept(NOT_A_URL)),
    ("https://127.0.0.1.1/",                        NotKept(NOT_A_URL)),
    ("https://4294967296/",                         NotKept(NOT_A_URL)),
    ("https://0x100000000/",                        NotKept(NOT_A_URL)),
    ("https://127.0.0.08/",                         NotKept(NOT_A_URL)),
    ("https://1.2.3.4.0x5/",                        NotKept(NOT_A_URL)),
    ("https://public.example.1/",                   NotKept(NOT_A_URL)),
    ("https://127.0.0.1../",                        NotKept(NOT_A_NAME)),
    // IPv6 addresses, by their kind.
    ("https://[::1]/",                              NotReached(LOOPBACK)),
    ("https://[0:0:0:0:0:0:0:1]/",                  NotReached(LOOPBACK)),
    ("https://[0000:0000:0000:0000:0000:0000:0000:0001]/", NotReached(LOOPBACK)),
    ("https://[::]/",                               NotReached(UNSPECIFIED)),
    ("https://[fc00::1]/",                          NotReached("unique local address")),
    ("https://[fd12:3456:789a::1]/",                NotReached("unique local address")),
    ("https://[fe80::1]/",                          NotReached(LINK_LOCAL)),
    ("https://[fec0::1]/",                          NotReached("site-local address")),
    ("https://[ff02::1]/",                          NotReached("multicast address")),
    ("https://[100::1]/",                           NotReached("discard-only address")),
    ("https://[2001:db8::1]/",                      NotReached("documentation address")),
    ("https://[3fff::1]/",                          NotReached("documentation address")),
    ("https://[5f00::1]/",                          NotReached("SRv6 segment identifier")),
    ("https://[4000::1]/",                          NotReached("not a global unicast address")),
    // IPv4 addresses inside of IPv6 ones.
    ("https://[::ffff:127.0.0.1]/",                 NotReached(LOOPBACK)),
    ("https://[::ffff:7f00:1]/",                    NotReached(LOOPBACK)),
    ("https://[0:0:0:0:0:ffff:7f00:0001]/",         NotReached(LOOPBACK)),
    ("https://[::FFFF:10.0.0.1]/",                  NotReached(PRIVATE)),
    ("https://[::ffff:169.254.169.254]/",           NotReached(METADATA)),
    ("https://[::ffff:0.0.0.0]/",                   NotReached(UNSPECIFIED)),
    ("https://[::127.0.0.1]/",                      NotReached(COMPATIBLE)),
    ("https://[::169.254.169.254]/",                NotReached(METADATA)),
    ("https://[::7f00:1]/",                         NotReached(COMPATIBLE)),
    ("https://[::8.8.8.8]/",                        NotReached(COMPATIBLE)),
    ("https://[::ffff:0:127.0.0.1]/",               NotReached("not a global unicast address")),
    ("https://[64:ff9b::127.0.0.1]/",               NotReached(LOOPBACK)),
    ("https://[64:ff9b::10.0.0.1]/",                NotReached(PRIVATE)),
    ("https://[64:ff9b::a9fe:a9fe]/",               NotReached(METADATA)),
    ("https://[64:ff9b:1::10.0.0.1]/",              NotReached("local NAT64 address")),
    ("https://[64:ff9b:1::8.8.8.8]/",               NotReached("local NAT64 address")),
    ("https://[2002:7f00:1::]/",                    NotReached("6to4 address")),
    ("https://[2002:a9fe:a9fe::1]/",                NotReached(METADATA)),
    ("https://[2002:808:808::1]/",                  NotReached("6to4 address")),
    ("https://[2001:0:7f00:1::]/",                  NotReached("Teredo address")),
    ("https://[2001::80ff:fffe]/",                  NotReached("Teredo address")),
    ("https://[2606:4700::5efe:127.0.0.1]/",        NotReached(LOOPBACK)),
    ("https://[2606:4700::200:5efe:10.0.0.1]/",     NotReached(PRIVATE)),
    ("https://[fe80::5efe:10.0.0.1]/",              NotReached(LINK_LOCAL)),
    // IPv6 addresses that are none, or not for a URL.
    ("https://[fe80::1%25eth0]/",                   NotKept(NOT_A_URL)),
    ("https://[fe80::1%eth0]/",                     NotKept(NOT_A_URL)),
    ("https://[::1%251]/",                          NotKept(NOT_A_URL)),
    ("https://[::1]x/",                             NotKept(NOT_A_URL)),
    ("https://[::1/",                               NotKept(NOT_A_URL)),
    ("https://::1/",                                NotKept(NOT_A_URL)),
    ("https://[127.0.0.1]/",                        NotKept(NOT_A_URL)),
    ("https://[v1.fe80]/",                          NotKept(NOT_A_URL)),
    ("https://[::ffff:0x7f.1]/",                    NotKept(NOT_A_URL)),
    // Names that need no DNS.
    ("https://localhost/",                          NotReached(LOOPBACK)),
    ("https://localhost./",                         NotReached(LOOPBACK)),
    ("https://LOCALHOST:8443/",                     NotReached(LOOPBACK)),
    ("https://ｌｏｃａｌｈｏｓｔ/",                      NotReached(LOOPBACK)),
    ("https://app.localhost/",                      NotReached(LOOPBACK)),
    ("https://a.b.localhost./",                     NotReached(LOOPBACK)),
    // Names of machines and private networks.
    ("https://ip6-localhost/",                      NotReached(LOCAL_NAME)),
    ("https://intranet/",                           NotReached(LOCAL_NAME)),
    ("https://db:5432/",                            NotReached(LOCAL_NAME)),
    ("https://com./",                               NotReached(LOCAL_NAME)),
    ("https://localhost.localdomain/",              NotReached("are for this machine")),
    ("https://printer.local/",                      NotReached("are for one link")),
    ("https://kubernetes.default.svc.cluster.local/", NotReached("are for one link")),
    ("https://vault.service.internal./",            NotReached(LOCAL_NAME)),
    ("https://router.home.arpa/",                   NotReached("are for home networks")),
    ("https://wiki.corp/",                          NotReached(LOCAL_NAME)),
    ("https://nas.lan/",                            NotReached(LOCAL_NAME)),
    ("https://NAS.ＬＡＮ/",                          NotReached(LOCAL_NAME)),
    ("https://expyuzz4wqqyqhjn.onion/",             NotReached("are for Tor")),
    // Names that resolve to what is refused. The hosts file may name what DNS may not.
    ("https://loopback.example/",                   NotReached(LOOPBACK)),
    ("https://loopback6.example/",                  NotReached(LOOPBACK)),
    ("https://private.example/",                    NotReached(PRIVATE)),
    ("https://metadata.example/",                   NotReached(METADATA)),
    ("https://mapped.example/",                     NotReached(PRIVATE)),
    ("https://nat64.example/",                      NotReached(METADATA)),
    ("https://sixtofour.example/",                  NotReached("6to4 address")),
    ("https://zero.example/",                       NotReached(UNSPECIFIED)),
    ("https://sneaky.internal/",                    NotReached(LOOPBACK)),
    ("https://mixed.example/",                      Reaches(&["93.184.215.14:443"])),
    // Ports.
    ("https://public.example:1/",                   NotReached(PORT)),
    ("https://public.example:22/",                  NotReached(PORT)),
    ("https://public.example:25/",                  NotReached(PORT)),
    ("https://public.example:80/",                  NotReached(PORT)),
    ("https://8.8.8.8:1023/",                       NotReached(PORT)),
    ("https://public.example:00025/",               NotReached(PORT)),
    ("https://public.example:1024/",                Reaches(&["93.184.215.14:1024"])),
    ("https://public.example:65535/",               Reaches(&["93.184.215.14:65535"])),
    ("https://public.example:0/",                   NotKept("has the port 0")),
    ("https://public.example:65536/",               NotKept(NOT_A_URL)),
    ("https://public.example:443:25/",              NotKept(NOT_A_URL)),
    ("https://public.example:+443/",                NotKept(NOT_A_URL)),
    // User names and passwords, most of them to make the host look like another.
    ("https://user:password@public.example/",       NotKept(CREDENTIALS)),
    ("https://user@public.example/",                NotKept(CREDENTIALS)),
    ("https://:password@public.example/",           NotKept(CREDENTIALS)),
    ("https://@127.0.0.1/",                         NotKept(CREDENTIALS)),
    ("https://public.example@127.0.0.1/",           NotKept(CREDENTIALS)),
    ("https://public.example:443@127.0.0.1/",       NotKept(CREDENTIALS)),
    ("https://127.0.0.1@public.example/",           NotKept(CREDENTIALS)),
    ("https://a@b@127.0.0.1/",                      NotKept(CREDENTIALS)),
    ("https://public.example%40127.0.0.1/",         NotKept(NOT_A_URL)),
    // What parsers read differently.
    ("https://public.example\\@127.0.0.1/",         NotKept(CONTROL)),
    ("https:\\\\127.0.0.1\\",                       NotKept(CONTROL)),
    ("https://127.0.0.1\\.public.example/",         NotKept(CONTROL)),
    ("https://127.0.\t0.1/",                        NotKept(CONTROL)),
    ("https://public.example\r\nHost: 127.0.0.1/",  NotKept(CONTROL)),
    ("https://public.example/\0",                   NotKept(CONTROL)),
    ("https://public.example%00.127.0.0.1/",        NotKept(NOT_A_URL)),
    ("https://public.example%0d%0a/",               NotKept(NOT_A_URL)),
    ("https://public.example%2f@127.0.0.1/",        NotKept(CREDENTIALS)),
    ("https://127.0.0.1%2f.public.example/",        NotKept(NOT_A_URL)),
    ("https://127.0.0.1%23.public.example/",        NotKept(NOT_A_URL)),
    ("https://127.0.0.1 .public.example/",          NotKept(NOT_A_URL)),
    ("https://public.example;127.0.0.1/",           NotKept(NOT_A_URL)),
    ("https://127.0.0.1,public.example/",           NotKept(NOT_A_NAME)),
    ("https://public..example/",                    NotKept(NOT_A_NAME)),
    ("https://*.example/",                          NotKept(NOT_A_NAME)),
    ("https://$(hostname).example/",                NotKept(NOT_A_NAME)),
    // Not https, or without a host.
    ("",                                            NotKept("is required")),
    ("public.example",                              NotKept(NOT_A_URL)),
    ("//public.example/",                           NotKept(NOT_A_URL)),
    ("http://public.example/",                      NotKept("must begin with https://")),
    ("http://169.254.169.254/",                     NotKept("must begin with https://")),
    ("ftp://public.example/",                       NotKept("it must be https")),
    ("file:///etc/passwd",                          NotKept("it must be https")),
    ("gopher://127.0.0.1:25/_HELO",                 NotKept("it must be https")),
    ("unix:/var/run/docker.sock",                   NotKept("it must be https")),
    ("data:text/plain,hello",                       NotKept("it must be https")),
    ("https:public.example",                        NotKept(NO_HOST)),
    ("https:/127.0.0.1/",                           NotKept(NO_HOST)),
    ("https:///127.0.0.1/",                         NotKept(NO_HOST)),
    ("https://",                                    NotKept(NOT_A_URL)),
    ("https://?@127.0.0.1/",                        NotKept(NOT_A_URL)),
];

fn network() -> Network {
    Network {
        resolver: Resolver::with_hosts_file_only(NAMES),
        addresses: AddressGuard::default(),
        ports: PortGuard::default(),
        proxy: None,
    }
}

async fn outcome(network: &Network, url: &str) -> Result<Vec<String>, (&'static str, String)> {
    let kept = check_url("url", url).map_err(|no| ("not kept", no.description))?;
    let uri: Uri = kept.parse().expect("what is kept can be requested");
    let deadline = Instant::now() + Duration::from_secs(60);
    let addresses = network.addresses(&uri, deadline).await;
    let addresses = addresses.map_err(|failure| ("not reached", failure.to_string()))?;
    Ok(addresses.into_iter().map(|address| address.to_string()).collect())
}

#[tokio::test]
async fn every_url_has_the_result_in_the_table() {
    let network = network();
    let mut wrong = Vec::new();
    for (url, expected) in VECTORS {
        let outcome = outcome(&network, url).await;
        let is_expected = match (expected, &outcome) {
            (NotKept(words), Err(("not kept", why)))
            | (NotReached(words), Err(("not reached", why))) => why.contains(words),
            (Reaches(addresses), Ok(reached)) => reached == addresses,
            _ => false,
        };
        if !is_expected {
            wrong.push(format!("{url:?} should be {expected:?} but is {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_enough_urls_and_none_twice() {
    let urls: std::collections::BTreeSet<_> = VECTORS.iter().map(|(url, _)| url).collect();
    assert_eq!(urls.len(), VECTORS.len());
    assert!(urls.len() >= 120, "{}", urls.len());
}
