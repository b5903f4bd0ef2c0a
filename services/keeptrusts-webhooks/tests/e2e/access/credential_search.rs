//! Searches everything that a platform has written or answered for credentials.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// A credential, and the forms in which it could appear.
pub(crate) struct Credential {
    what: &'static str,
    forms: Vec<String>,
}

impl Credential {
    /// A token of ours (`kt_` and 64 hexadecimal digits) or a JSON Web Token.
    pub(crate) fn new(what: &'static str, token: &str) -> Credential {
        // Of a JSON Web Token the signature: the rest grants no access.
        let essence = token.strip_prefix("kt_").unwrap_or(token);
        let essence = essence.rsplit('.').next().unwrap_or(essence);
        assert!(essence.len() >= 60, "{what} is too short to be told from anything else");
        let mut forms = pieces(essence);
        forms.extend([hex::encode(essence), hex::encode_upper(essence), essence.to_uppercase()]);
        forms.extend(in_base64(essence.as_bytes()));
        let digits = hex::decode(essence);
        let signature = || base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(essence);
        if let Ok(bytes) = digits.or_else(|_| signature()) {
            forms.extend([as_characters(&bytes), hex::encode(&bytes)]);
            forms.extend(in_base64(&bytes));
        }
        Credential { what, forms }
    }

    /// Another secret, of at least 20 characters.
    pub(crate) fn secret(what: &'static str, secret: &str) -> Credential {
        let mut forms = pieces(secret);
        forms.extend([hex::encode(secret), hex::encode_upper(secret)]);
        forms.extend(in_base64(secret.as_bytes()));
        Credential { what, forms }
    }

    /// The form in which it occurs in `text`, if it does.
    fn found_in(&self, text: &str) -> Option<&str> {
        self.forms.iter().find(|form| text.contains(form.as_str())).map(String::as_str)
    }
}

/// Fails if one of them is there.
#[track_caller]
pub(crate) fn assert_absent(planted: &[Credential], place: &str, content: &[u8]) {
    let text = as_characters(content);
    for credential in planted {
        if let Some(form) = credential.found_in(&text) {
            let line = text.lines().find(|line| line.contains(form)).unwrap_or(form);
            let line: String = line.chars().take(2_000).collect();
            panic!("{place} has {}, as {form}:\n{line}", credential.what);
        }
    }
}

/// Its beginning, its middle and its end, so that a part of it is found as well.
fn pieces(essence: &str) -> Vec<String> {
    const LENGTH: usize = 20;
    let starts = [0, (essence.len() - LENGTH) / 2, essence.len() - LENGTH];
    starts.map(|start| essence[start..start + LENGTH].to_owned()).into()
}

/// Base64 of three alignments: it may be within something longer that was encoded.
fn in_base64(bytes: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for shift in 0..3 {
        let aligned = &bytes[shift..];
        let whole = &aligned[..aligned.len() / 3 * 3];
        forms.extend([STANDARD.encode(whole), URL_SAFE.encode(whole)]);
    }
    forms
}

/// A character for each byte, so that bytes that are not UTF-8 can be searched as text.
fn as_characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[test]
fn a_credential_is_found_in_whatever_form_it_lies_around() {
    let token = "kt_0f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff0";
    let bytes = hex::decode(&token[3..]).expect("digits");
    let planted = [Credential::new("the token", token)];
    let mut basic = b"user:".to_vec();
    basic.extend(token.as_bytes());
    for content in [
        format!("x={token};").into_bytes(),
        format!("x={}…", &token[..30]).into_bytes(),
        hex::encode(token).into_bytes(),
        STANDARD.encode(&basic).into_bytes(),
        STANDARD.encode(&bytes).into_bytes(),
        [b"\xff".as_slice(), &bytes, b"\x00"].concat(),
    ] {
        let found = planted[0].found_in(&as_characters(&content));
        assert!(found.is_some(), "{}", String::from_utf8_lossy(&content));
    }
    assert_absent(&planted, "another one", b"kt_ffff2d3c4b5a69788796a5b4c3d2e1f0");
}
