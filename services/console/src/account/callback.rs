//! The parameters with which the issuer sends the browser back.

use keeptrusts_webhooks_domain::visible_text::with_blanks_for_hidden;

/// Limit for texts of the issuer that are shown to people and logged.
const MAX_TEXT_CHARS: usize = 200;
/// Codes and states are shorter than that.
const MAX_PARAMETER_BYTES: usize = 4_096;

/// A response to an authorization request (RFC 6749 sections 4.1.2 and 4.1.2.1).
pub(crate) struct Callback {
    /// Names the request.
    pub(crate) state: String,
    /// The issuer, as the response names it (RFC 9207).
    pub(super) issuer: Option<String>,
    pub(super) content: CallbackResult,
}

pub(super) enum CallbackResult {
    /// Can be exchanged for tokens.
    Code(String),
    Error {
        /// One of the standard's error codes.
        code: String,
        /// For people; may be empty.
        description: String,
    },
}

impl Callback {
    /// Reads the callback's query. None: it is not a response, or has a parameter twice, which is
    /// not allowed (RFC 6749 section 3.1).
    pub(crate) fn read(query: &str) -> Option<Callback> {
        let [mut state, mut issuer, mut code, mut error, mut description] = [const { None }; 5];
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match name.as_ref() {
                "state" => &mut state,
                "iss" => &mut issuer,
                "code" => &mut code,
                "error" => &mut error,
                "error_description" => &mut description,
                // Unknown parameters are ignored (RFC 6749 section 4.1.2).
                _ => continue,
            };
            if place.is_some() || value.len() > MAX_PARAMETER_BYTES {
                return None;
            }
            *place = Some(value.into_owned());
        }
        let content = match (code, error) {
            (Some(code), None) => CallbackResult::Code(code),
            (None, Some(code)) => CallbackResult::Error {
                code: shortened(&code),
                description: shortened(&description.unwrap_or_default()),
            },
            _ => return None,
        };
        Some(Callback { state: state?, issuer, content })
    }
}

/// Makes a foreign text fit to be shown and logged.
pub(super) fn shortened(text: &str) -> String {
    let visible = with_blanks_for_hidden(text);
    let mut characters = visible.chars();
    let shown: String = characters.by_ref().take(MAX_TEXT_CHARS).collect();
    match characters.next() {
        Some(_) => shown + "…",
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_code_or_an_error_for_a_state() {
        let callback = Callback::read("code=a%2Fb&state=s&session_state=x").expect("an answer");
        assert!(matches!(callback.content, CallbackResult::Code(code) if code == "a/b"));
        assert_eq!((callback.state.as_str(), callback.issuer), ("s", None));
        let callback = Callback::read("error=access_denied&state=s&iss=https%3A%2F%2Fid.example");
        let callback = callback.expect("an answer");
        assert_eq!(callback.issuer.as_deref(), Some("https://id.example"));
        assert!(
            matches!(callback.content, CallbackResult::Error { code, .. } if code == "access_denied")
        );
    }

    #[test]
    fn what_is_ambiguous_or_incomplete_is_no_answer() {
        let long = format!("code={}&state=s", "a".repeat(MAX_PARAMETER_BYTES + 1));
        for query in [
            "",
            "code=a",
            "state=s",
            "code=a&error=access_denied&state=s",
            "code=a&code=b&state=s",
            "code=a&state=s&state=t",
            "code=a&state=s&iss=x&iss=y",
            &long,
        ] {
            assert!(Callback::read(query).is_none(), "{query}");
        }
    }

    #[test]
    fn what_an_issuer_says_is_cut_and_has_no_control_characters() {
        let query = format!("error=x&error_description={}%0A%1B&state=s", "a".repeat(300));
        let CallbackResult::Error { description, .. } =
            Callback::read(&query).expect("one").content
        else {
            panic!("an error")
        };
        assert_eq!(description, "a".repeat(MAX_TEXT_CHARS) + "…");
        assert_eq!(shortened("a\r\nb\u{202E}c"), "a  b c");
    }
}
