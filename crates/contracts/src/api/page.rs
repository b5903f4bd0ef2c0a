//! Pages of a list, as AIP-158 describes them.
//!
//! Decision: docs/decisions/pages-are-filled-in-one-place.md

use std::fmt::Display;
use std::future::Future;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keeptrusts_webhooks_domain::violation::Violation;
use prost::Message;

use super::answer_size::AnswerRoom;

/// How many things a page has unless the request says otherwise.
pub const DEFAULT_PAGE_SIZE: usize = 50;
/// How many it has at the most. Larger wishes are lowered to it.
pub const MAX_PAGE_SIZE: usize = 1_000;
/// How often a page reads. A list that is filtered looks at 1,000 rows in a read, so that a page
/// looks at 100,000 and no more, however few of them match.
pub const MAX_READS_PER_PAGE: usize = 100;
/// How many things are read at a time. A page of the largest things that can be stored is full
/// long before it has as many as were asked for, and what was read beyond that was read in vain.
const THINGS_PER_READ: usize = LONGEST_SHORT_PAGE + 1;
/// A page of so many things, of a list that passes nothing over, is done with one read.
const LONGEST_SHORT_PAGE: usize = 100;

/// Which part of a list to return: `size` things older than `before`. Lists are newest first,
/// and ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<Id> {
    /// The last id of the page before; on the first page, one that is above every id.
    pub before: Id,
    /// 1 to [`MAX_PAGE_SIZE`].
    pub size: usize,
}

/// A part of a list.
#[derive(Debug)]
pub struct Read<Id, Thing> {
    /// The first things behind where it was read from, with their ids.
    pub things: Vec<(Id, Thing)>,
    /// How far it was read, whether a thing was there or not. None: nothing comes after it.
    pub next: Option<Id>,
}

impl<Id: Copy, Thing> Read<Id, Thing> {
    /// A read of a list that passes nothing over: fewer than `limit` are its end.
    pub fn of_all(things: Vec<(Id, Thing)>, limit: usize) -> Read<Id, Thing> {
        let next = things.last().filter(|_| things.len() >= limit).map(|(id, _)| *id);
        Read { things, next }
    }
}

impl<Id: Copy + Display + FromStr> Page<Id> {
    /// What `page_size` and `page_token` say. `first` is above every id.
    pub(super) fn of(page_size: i32, page_token: &str, first: Id) -> Result<Self, Vec<Violation>> {
        match (size(page_size), before(page_token, first)) {
            (Ok(size), Ok(before)) => Ok(Page { before, size }),
            (size, before) => Err(size.err().into_iter().chain(before.err()).collect()),
        }
    }

    /// The page's things and its `next_page_token`. The page ends early, with a token, when
    /// another thing would make the answer larger than clients read, and when it has read
    /// [`MAX_READS_PER_PAGE`] times.
    ///
    /// `read` is given an id and a limit, and answers with the first things of the list that are
    /// older, no more than the limit. A page that is not done with one read is a long one: `turn`
    /// is waited for before the next, and what it gives is kept until the page is done. No other
    /// way leads to a token, so that no list forgets the limits.
    pub async fn fill<Thing: Message, Error, Reading, Place>(
        &self,
        turn: impl Future<Output = Result<Place, Error>>,
        read: impl Fn(Id, usize) -> Reading,
    ) -> Result<(Vec<Thing>, String), Error>
    where
        Reading: Future<Output = Result<Read<Id, Thing>, Error>>,
    {
        let (mut things, mut room, mut before) = (Vec::new(), AnswerRoom::new(), self.before);
        let (mut turn, mut _place) = (Some(turn), None);
        for reads in 1.. {
            // One more than the page has, to see whether another follows.
            let limit = (self.size + 1 - things.len()).min(THINGS_PER_READ);
            let found = read(before, limit).await?;
            for (id, thing) in found.things {
                // One thing is a page, however large, so that a list always goes on.
                let fits = room.take(&thing) || things.is_empty();
                if things.len() == self.size || !fits {
                    return Ok((things, URL_SAFE_NO_PAD.encode(before.to_string())));
                }
                before = id;
                things.push(thing);
            }
            let Some(next) = found.next else { break };
            before = next;
            if reads == MAX_READS_PER_PAGE {
                return Ok((things, URL_SAFE_NO_PAD.encode(before.to_string())));
            }
            if let Some(turn) = turn.take() {
                _place = Some(turn.await?);
            }
        }
        Ok((things, String::new()))
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
    use std::cell::Cell;
    use std::future::ready;

    use futures_util::FutureExt;
    use keeptrusts_webhooks_domain::ids::{EndpointId, EventId};
    use ulid::Ulid;

    use super::*;
    use crate::api::MAX_ANSWER_BYTES;
    use crate::v1;

    fn id(number: u128) -> EndpointId {
        EndpointId::new(Ulid(number))
    }

    #[test]
    fn a_page_has_50_things_unless_asked_and_1000_at_the_most() {
        assert_eq!((size(0), size(1), size(1_000)), (Ok(50), Ok(1), Ok(1_000)));
        assert_eq!(size(i32::MAX), Ok(1_000));
        assert_eq!(size(-1).map_err(|wrong| wrong.field), Err("page_size".to_owned()));
    }

    /// Fills a page from a list of so many endpoints, each of so many bytes.
    fn filled(page: &Page<EndpointId>, list: u128, bytes: usize) -> (Vec<v1::Endpoint>, String) {
        let reads = Cell::new(0);
        let read = |before: EndpointId, limit: usize| {
            reads.set(reads.get() + limit);
            let older = (1..=list).rev().map(id).filter(move |id| *id < before).take(limit);
            let shown = older.map(|id| {
                let description = "d".repeat(bytes);
                (id, v1::Endpoint { id: id.to_string(), description, ..Default::default() })
            });
            ready(Ok::<_, ()>(Read::of_all(shown.collect(), limit)))
        };
        let filled = page.fill(ready(Ok(())), read).now_or_never();
        let filled = filled.expect("nothing waits").expect("reads");
        let in_vain = reads.get() - filled.0.len();
        assert!(in_vain <= THINGS_PER_READ, "{in_vain} were read and not shown");
        filled
    }

    fn ids(endpoints: &[v1::Endpoint]) -> Vec<EndpointId> {
        endpoints.iter().map(|endpoint| endpoint.id.parse().expect("an id")).collect()
    }

    #[test]
    fn a_token_leads_to_the_things_after_the_last_one() {
        let page = Page { before: EndpointId::MAX, size: 2 };
        let (endpoints, token) = filled(&page, 3, 0);
        assert_eq!(ids(&endpoints), [id(3), id(2)]);
        assert_eq!(before(&token, EndpointId::MAX), Ok(id(2)));
    }

    /// Fills a page from a list of so many rows, of which only the first and the last are shown, a
    /// thousand looked at in each read. Says how often turns were taken.
    fn looked_through(page: &Page<EndpointId>, rows: u128) -> (Vec<EndpointId>, String, usize) {
        let (reads, turns) = (Cell::new(0), Cell::new(0));
        let read = |before: EndpointId, _| {
            reads.set(reads.get() + 1);
            let from = before.ulid().0.min(rows + 1);
            let floor = from.saturating_sub(1_000).max(1);
            let shown = [rows, 1].into_iter().filter(|row| (floor..from).contains(row)).map(id);
            let things =
                shown.map(|id| (id, v1::Endpoint { id: id.to_string(), ..Default::default() }));
            let next = (floor > 1).then(|| id(floor));
            ready(Ok::<_, ()>(Read { things: things.collect(), next }))
        };
        let turn = async {
            turns.set(turns.get() + 1);
            Ok(())
        };
        let filled = page.fill(turn, read).now_or_never().expect("nothing waits").expect("reads");
        assert!(reads.get() <= MAX_READS_PER_PAGE);
        (ids(&filled.0), filled.1, turns.get())
    }

    #[test]
    fn what_a_page_looks_at_is_limited_and_the_next_one_goes_on_there() {
        let first = Page { before: EndpointId::MAX, size: 2 };
        let (found, token, _) = looked_through(&first, 150_000);
        assert_eq!(found, [id(150_000)], "a short page");
        let next = Page { before: before(&token, EndpointId::MAX).expect("a token"), size: 2 };
        assert_eq!(next.before, id(50_001));
        assert_eq!(looked_through(&next, 150_000).0, [id(1)]);
        assert_eq!(looked_through(&next, 150_000).1, "");
        let (found, token, _) = looked_through(&first, 250_000);
        let next = Page { before: before(&token, EndpointId::MAX).expect("a token"), size: 2 };
        let (none, token, _) = looked_through(&next, 250_000);
        assert_eq!((found.len(), none.len(), token.is_empty()), (1, 0, false), "an empty page");
    }

    #[test]
    fn a_page_waits_for_its_turn_once_and_only_before_a_second_read() {
        let page = Page { before: EndpointId::MAX, size: 50 };
        assert_eq!(looked_through(&page, 900).2, 0);
        assert_eq!(looked_through(&page, 1_001).2, 1);
        assert_eq!(looked_through(&page, 50_000).2, 1);
    }

    #[test]
    fn a_page_of_100_things_is_no_long_one() {
        for (size, waits) in [(LONGEST_SHORT_PAGE, false), (LONGEST_SHORT_PAGE + 1, true)] {
            let page = Page { before: EndpointId::MAX, size };
            let read = |before: EndpointId, limit: usize| {
                let older = (1..=1_000).rev().map(id).filter(move |id| *id < before).take(limit);
                let things = older.map(|id| (id, v1::Endpoint::default())).collect();
                ready(Ok::<_, ()>(Read::of_all(things, limit)))
            };
            let refused = page.fill(ready(Err::<(), _>(())), read).now_or_never();
            assert_eq!(refused.expect("nothing waits").is_err(), waits, "{size}");
        }
    }

    #[test]
    fn the_last_page_has_no_token() {
        let page = Page { before: EndpointId::MAX, size: 2 };
        let (endpoints, token) = filled(&page, 2, 0);
        assert_eq!((ids(&endpoints), token), (vec![id(2), id(1)], String::new()));
        let (endpoints, token) = filled(&page, 0, 0);
        assert_eq!((ids(&endpoints), token), (Vec::new(), String::new()));
        let page = Page { before: EndpointId::MAX, size: MAX_PAGE_SIZE };
        for list in [THINGS_PER_READ - 1, THINGS_PER_READ, THINGS_PER_READ + 1, MAX_PAGE_SIZE] {
            let (endpoints, token) = filled(&page, list as u128, 0);
            assert_eq!((endpoints.len(), token), (list, String::new()));
        }
    }

    #[test]
    fn a_page_of_large_things_ends_early_and_the_next_one_goes_on() {
        let mut page = Page { before: EndpointId::MAX, size: MAX_PAGE_SIZE };
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let (endpoints, next_page_token) = filled(&page, 1_000, 20_000);
            seen.extend(ids(&endpoints));
            pages += 1;
            let token = next_page_token.clone();
            let answer = v1::ListEndpointsResponse { endpoints, next_page_token };
            assert!(answer.encoded_len() <= MAX_ANSWER_BYTES, "{}", answer.encoded_len());
            if token.is_empty() {
                break;
            }
            page.before = before(&token, EndpointId::MAX).expect("a token of ours");
        }
        assert!(seen.into_iter().eq((1..=1_000).rev().map(id)));
        assert_eq!(pages, 5, "as much as fits, at 200 of 20,000 bytes");
    }

    #[test]
    fn a_thing_that_fits_nowhere_is_a_page_of_its_own() {
        let page = Page { before: EndpointId::MAX, size: 10 };
        let (endpoints, token) = filled(&page, 2, MAX_ANSWER_BYTES);
        assert_eq!(ids(&endpoints), [id(2)]);
        assert_eq!(before(&token, EndpointId::MAX), Ok(id(2)));
    }

    #[test]
    fn a_token_of_another_list_or_of_nobody_is_refused() {
        let page = Page { before: EndpointId::MAX, size: 1 };
        let (_, token) = filled(&page, 2, 0);
        let wrong = before(&token, EventId::MAX).expect_err("not an event's id");
        assert_eq!(wrong.field, "page_token");
        for token in ["!", "2", "_w", &id(1).to_string()] {
            assert!(before(token, EndpointId::MAX).is_err(), "{token:?}");
        }
    }
}
