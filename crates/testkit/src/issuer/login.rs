//! The authorization endpoint (OpenID Connect Core 1.0 section 3.1.2), and its page.

use std::collections::HashMap;

use form_urlencoded::Serializer;

use super::message::parameters;
use super::state::{CLIENT_ID, Grant, State};
use crate::receiver::Reply;

impl State {
    pub(super) fn login_page(&self, query: &str) -> Reply {
        if let Err(why) = self.check(&parameters(query.as_bytes())) {
            return Reply::status(400).with_body(why);
        }
        let query = query.replace('&', "&amp;").replace('"', "&quot;");
        let page = format!(
            r#"<!doctype html><html lang="en"><title>Log in</title><link rel="icon" href="data:,"><h1>Log in at the issuer</h1>
            <form method="post" action="/login?{query}">
            <button name="action" value="log-in">Log in as Ann</button>
            <button name="action" value="cancel">Cancel</button></form></html>"#
        );
        Reply::ok().with_header("content-type", "text/html; charset=utf-8").with_body(page)
    }

    pub(super) fn take_login(&mut self, query: &str, form: &[u8]) -> Reply {
        let has_cancelled = parameters(form).get("action").is_some_and(|it| it == "cancel");
        let location = match has_cancelled {
            true => self.cancel(query),
            false => self.log_in(query),
        };
        match location {
            Ok(location) => Reply::status(303).with_header("location", &location),
            Err(why) => Reply::status(400).with_body(why),
        }
    }

    /// Where the browser is sent with a code.
    pub(super) fn log_in(&mut self, query: &str) -> Result<String, &'static str> {
        let request = parameters(query.as_bytes());
        self.check(&request)?;
        let code = format!("code-{}", self.grants.len());
        let grant = Grant {
            challenge: request["code_challenge"].clone(),
            nonce: request.get("nonce").cloned(),
            is_used: false,
        };
        self.grants.insert(code.clone(), grant);
        Ok(self.redirect_url(&request, &[("code", &code)]))
    }

    fn cancel(&self, query: &str) -> Result<String, &'static str> {
        let request = parameters(query.as_bytes());
        self.check(&request)?;
        let description = format!("Ann has <b>cancelled</b> {}", "and so on ".repeat(100));
        Ok(self.redirect_url(
            &request,
            &[("error", "access_denied"), ("error_description", &description)],
        ))
    }

    fn redirect_url(&self, request: &HashMap<String, String>, answer: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(answer).append_pair("iss", &self.url);
        if let Some(state) = request.get("state") {
            query.append_pair("state", state);
        }
        format!("{}?{}", self.redirect_uri, query.finish())
    }

    fn check(&self, request: &HashMap<String, String>) -> Result<(), &'static str> {
        let is = |name: &str, value: &str| request.get(name).is_some_and(|it| it == value);
        let scopes = request.get("scope").map_or("", String::as_str);
        if !is("client_id", CLIENT_ID) {
            Err("the client is not known")
        } else if !is("redirect_uri", &self.redirect_uri) {
            Err("the redirect URI is not registered")
        } else if !is("response_type", "code") || !scopes.split(' ').any(|it| it == "openid") {
            Err("this is not the authorization code flow of OpenID Connect")
        } else if !is("code_challenge_method", "S256") || !request.contains_key("code_challenge") {
            Err("there is no code challenge")
        } else {
            Ok(())
        }
    }
}
