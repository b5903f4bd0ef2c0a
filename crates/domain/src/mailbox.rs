//! Checks mail addresses.

use crate::violation::Violation;

/// The longest address in SMTP: 256 octets with the angle brackets around it (RFC 5321 section
/// 4.5.3.1.3).
const MAX_ADDRESS_BYTES: usize = 254;
/// The longest part before the `@` (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;

/// Checks a mail address: `local@domain` (RFC 5321 section 4.1.2) without quoted strings, address
/// literals and characters beyond ASCII. So it has no space, no line end and no comma, and cannot be
/// mistaken for anything else in a header or a command. It does not begin with a hyphen, because
/// programs behind mail servers have taken such addresses for options.
///
/// The domain has at least two labels. Names of one label (`localhost`) mean a machine of the
/// operator's, and RFC 5321 section 2.3.5 does not allow them.
pub fn check_mailbox(field: &str, address: &str) -> Result<String, Violation> {
    let wrong = |description: &str| Err(Violation::invalid_format(field, description));
    if address.len() > MAX_ADDRESS_BYTES {
        let description = "is longer than 254 bytes, which no mail server takes";
        return Err(Violation::too_long(field, description));
    }
    let address = address.trim();
    let Some((local, domain)) = address.rsplit_once('@') else {
        return wrong("is not a mail address; write name@example.com");
    };
    if local.len() > MAX_LOCAL_BYTES || !local.split('.').all(is_atom) {
        return wrong(
            "has something before the @ that is not letters, digits and the signs that mail addresses may have",
        );
    }
    if local.starts_with('-') {
        return wrong("begins with a hyphen, which some mail programs take for an option");
    }
    if !is_domain(domain) {
        return wrong(
            "has something after the @ that is not a domain's full name, such as example.com; write names in other scripts in punycode",
        );
    }
    Ok(address.to_owned())
}

/// An atom of RFC 5322 section 3.2.3.
fn is_atom(text: &str) -> bool {
    let is_atext =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_atext)
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let Some((_, top)) = domain.rsplit_once('.') else { return false };
    // A top-level domain is not all digits (RFC 3696 section 2): that would be an IPv4 address.
    domain.split('.').all(is_label) && !top.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_could_be_misread_are_refused() {
        for right in [
            "a@b.c",
            "x-@y.example",
            "on-call+webhooks@example.com",
            "o'neil.x@mail.example.org",
            " a@b.c ",
        ] {
            assert_eq!(check_mailbox("to", right).as_deref(), Ok(right.trim()), "{right:?}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}", ["a".repeat(60).as_str(); 5].join("."));
        for wrong in [
            "",
            "a",
            "a@",
            "@b",
            "a b@c.d",
            "a@b c",
            "a@b\r\nBcc: x@y.z",
            "a\n@b",
            "a,b@c.d",
            "a@b,c@d",
            "<a@b.c>",
            "Ann <a@b.c>",
            "\"a b\"@c.d",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@b",
            "a@localhost",
            "a@localhost.",
            "-oX@example.com",
            "-@example.com",
            "--@example.com",
            "a..b@c.d",
            ".a@c.d",
            "a@-b.c",
            "a@b..c",
            "ä@b.c",
            "a@bücher.example",
            "a@b@c",
            &long,
            &longer,
        ] {
            assert!(check_mailbox("to", wrong).is_err(), "{wrong:?}");
        }
    }
}
