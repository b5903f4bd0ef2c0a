//! What a browser brings back from the issuer: the parameters of the callback's address.

/// A text of the issuer's is shown to somebody, and logged, up to this length.
const MAX_SAID_CHARS: usize = 200;
/// Longer ones are no codes, and no states of ours.
const MAX_PARAMETER_BYTES: usize = 4_096;

/// An answer to an authorization request (RFC 6749 sections 4.1.2 and 4.1.2.1).
pub(crate) struct Callback {
    /// Which request is answered.
    pub(crate) state: String,
    /// Who says that it answers (RFC 9207).
    pub(super) issuer: Option<String>,
    pub(super) content: Content,
}

pub(super) enum Content {
    /// What the tokens are had for.
    Code(String),
    /// There will be none.
    Error {
        /// One of the standard's words.
        code: String,
        /// In words for people, perhaps.
        description: String,
    },
}

impl Callback {
    /// Reads the query of the callback's address. None: it is not an answer. Neither is one with
    /// a parameter twice (RFC 6749 section 3.1): who could say which of them is meant?
    pub(crate) fn read(query: &str) -> Option<Callback> {
        let [mut state, mut issuer, mut code, mut error, mut description] = [const { None }; 5];
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match name.as_ref() {
                "state" => &mut state,
                "iss" => &mut issuer,
                "code" => &mut code,
                "error" => &mut error,
                "error_description" => &mut description,
                // There may be others (RFC 6749 section 4.1.2).
                _ => continue,
            };
            if place.is_some() || value.len() > MAX_PARAMETER_BYTES {
                return None;
            }
            *place = Some(value.into_owned());
        }
        let content = match (code, error) {
            (Some(code), None) => Content::Code(code),
            (None, Some(code)) => Content::Error {
                code: shortened(&code),
                description: shortened(&description.unwrap_or_default()),
            },
            _ => return None,
        };
        Some(Callback { state: state?, issuer, content })
    }
}

/// A text of somebody else's, fit to be shown and logged.
pub(super) fn shortened(text: &str) -> String {
    let visible = text.chars().filter(|character| !character.is_control());
    let mut characters = visible.clone();
    let shown: String = characters.by_ref().take(MAX_SAID_CHARS).collect();
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
        assert!(matches!(callback.content, Content::Code(code) if code == "a/b"));
        assert_eq!((callback.state.as_str(), callback.issuer), ("s", None));
        let callback = Callback::read("error=access_denied&state=s&iss=https%3A%2F%2Fid.example");
        let callback = callback.expect("an answer");
        assert_eq!(callback.issuer.as_deref(), Some("https://id.example"));
        assert!(matches!(callback.content, Content::Error { code, .. } if code == "access_denied"));
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
        let Content::Error { description, .. } = Callback::read(&query).expect("one").content
        else {
            panic!("an error")
        };
        assert_eq!(description, "a".repeat(MAX_SAID_CHARS) + "…");
        assert_eq!(shortened("a\r\nb"), "ab");
    }
}
