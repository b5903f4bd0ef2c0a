//! Pages of a list, as AIP-158 describes them.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keeptrusts_webhooks_domain::violation::Violation;

/// How many things a page has unless the request says otherwise.
pub const DEFAULT_PAGE_SIZE: usize = 50;
/// How many it has at the most. Larger wishes are lowered to it.
pub const MAX_PAGE_SIZE: usize = 1_000;

/// Which part of a list to return: `size` things older than `before`. Lists are newest first,
/// and ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<Id> {
    /// The last id of the page before; on the first page, one that is above every id.
    pub before: Id,
    /// 1 to [`MAX_PAGE_SIZE`].
    pub size: usize,
}

impl<Id: Copy + Display + FromStr> Page<Id> {
    /// What `page_size` and `page_token` say. `first` is above every id.
    pub(super) fn of(page_size: i32, page_token: &str, first: Id) -> Result<Self, Vec<Violation>> {
        match (size(page_size), before(page_token, first)) {
            (Ok(size), Ok(before)) => Ok(Page { before, size }),
            (size, before) => Err(size.err().into_iter().chain(before.err()).collect()),
        }
    }

    /// How many things to read: one more than the page has, to see whether another follows.
    pub fn limit(&self) -> usize {
        self.size + 1
    }

    /// The page's things and its `next_page_token`, from what was read with [`Page::limit`].
    pub fn split<T>(&self, mut read: Vec<T>, id: impl Fn(&T) -> Id) -> (Vec<T>, String) {
        let more_follows = read.len() > self.size;
        read.truncate(self.size);
        let last = read.last().filter(|_| more_follows);
        let token = last.map(|last| URL_SAFE_NO_PAD.encode(id(last).to_string()));
        (read, token.unwrap_or_default())
    }
}

fn size(page_size: i32) -> Result<usize, Violation> {
    match usize::try_from(page_size) {
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) => Ok(size.min(MAX_PAGE_SIZE)),
        Err(_) => Err(Violation::new("page_size", "must not be negative; 0 means 50")),
    }
}

fn before<Id: FromStr>(page_token: &str, first: Id) -> Result<Id, Violation> {
    if page_token.is_empty() {
        return Ok(first);
    }
    let bytes = URL_SAFE_NO_PAD.decode(page_token).unwrap_or_default();
    let id = std::str::from_utf8(&bytes).ok().and_then(|id| id.parse().ok());
    id.ok_or_else(foreign_page_token)
}

/// What is wrong with a token that this list has not given.
pub fn foreign_page_token() -> Violation {
    let description =
        "is not from this list: send next_page_token as it was, or nothing to start anew";
    Violation::new("page_token", description)
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::ids::{EndpointId, EventId};
    use ulid::Ulid;

    use super::*;

    fn id(number: u128) -> EndpointId {
        EndpointId::new(Ulid(number))
    }

    #[test]
    fn a_page_has_50_things_unless_asked_and_1000_at_the_most() {
        assert_eq!((size(0), size(1), size(1_000)), (Ok(50), Ok(1), Ok(1_000)));
        assert_eq!(size(i32::MAX), Ok(1_000));
        assert_eq!(size(-1).map_err(|wrong| wrong.field), Err("page_size".to_owned()));
    }

    #[test]
    fn a_token_leads_to_the_things_after_the_last_one() {
        let page = Page { before: EndpointId::MAX, size: 2 };
        let (ids, token) = page.split(vec![id(9), id(8), id(7)], |id| *id);
        assert_eq!(ids, [id(9), id(8)]);
        assert_eq!(before(&token, EndpointId::MAX), Ok(id(8)));
    }

    #[test]
    fn the_last_page_has_no_token() {
        let page = Page { before: EndpointId::MAX, size: 2 };
        assert_eq!(page.split(vec![id(2), id(1)], |id| *id), (vec![id(2), id(1)], String::new()));
        assert_eq!(page.split(Vec::new(), |id| *id), (Vec::new(), String::new()));
    }

    #[test]
    fn a_token_of_another_list_or_of_nobody_is_refused() {
        let page = Page { before: EndpointId::MAX, size: 1 };
        let (_, token) = page.split(vec![id(2), id(1)], |id| *id);
        let wrong = before(&token, EventId::MAX).expect_err("not an event's id");
        assert_eq!(wrong.field, "page_token");
        for token in ["!", "2", "_w", &id(1).to_string()] {
            assert!(before(token, EndpointId::MAX).is_err(), "{token:?}");
        }
    }
}
