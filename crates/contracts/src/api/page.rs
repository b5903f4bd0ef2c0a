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
use sha2::{Digest, Sha256};

use super::response_size::ResponseBudget;
use super::sorted_page::canonical_order;
use super::view::View;
use crate::time::{timestamp_from_proto, timestamp_to_proto};
use crate::v1;

/// The items of a page unless the request says otherwise.
pub const DEFAULT_PAGE_SIZE: usize = 50;
/// The most items of a page. A larger `page_size` is lowered to it (AIP-158).
pub const MAX_PAGE_SIZE: usize = 1_000;
/// The most reads of a page. A filtered list looks at 1,000 rows in a read, so a page looks at
/// 100,000 rows at most, however few of them match.
pub const MAX_READS_PER_PAGE: usize = 100;
/// The items of one read. A page of the largest items that can be stored is full long before it
/// has as many as were asked for; whatever was read beyond that was read in vain.
const ITEMS_PER_READ: usize = LONGEST_SHORT_PAGE + 1;
/// A page of at most so many items needs one read, if the list is not filtered.
const LONGEST_SHORT_PAGE: usize = 100;

/// Which part of a list to return: `size` items older than `before`. Lists are newest first, and
/// ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<Id> {
    /// The last id of the previous page. On the first page, an id above every other.
    pub before: Id,
    /// 1 to [`MAX_PAGE_SIZE`].
    pub size: usize,
    /// The list that the page is of, with its filters.
    list: ListDigest,
}

/// The beginning of the SHA-256 of a list's request without its page, in its canonical form. A token carries
/// it, so that it is refused with other filters (AIP-158): the items between would be lost without a word.
type ListDigest = [u8; 8];

/// The request of a list: its filters, and which part of the list it asks for.
pub(super) trait ListRequest: Message {
    fn page_size(&self) -> i32;

    fn page_token(&self) -> &str;

    /// The request for the first page of the same list. It is equal for all requests that mean the same
    /// list, however they are written.
    fn canonical_first_page(&self) -> Self;
}

/// Each field but those of the page, with how values that mean the same become equal.
macro_rules! list_requests {
    ($($request:ident { $($field:ident: $canonical:expr),* $(,)? })*) => {
        $(impl ListRequest for v1::$request {
            fn page_size(&self) -> i32 {
                self.page_size
            }

            fn page_token(&self) -> &str {
                &self.page_token
            }

            fn canonical_first_page(&self) -> Self {
                // Without `..`, so that no field is forgotten.
                let v1::$request { page_size: _, page_token: _, $($field),* } = self.clone();
                $(let $field = $canonical($field);)*
                v1::$request { page_size: 0, page_token: String::new(), $($field),* }
            }
        })*
    };
}

list_requests! {
    ListAttemptsRequest {
        organization_id: exact,
        endpoint_ids: set,
        delivery_id: exact,
        event_types: set,
        outcomes: set,
        start_time: time,
        end_time: time,
        view: list_view::<v1::AttemptView>,
    }
    ListAuditEntriesRequest {
        organization_id: exact,
        actions: set,
        actor: exact,
        endpoint_ids: set,
        start_time: time,
        end_time: time,
    }
    ListChannelsRequest { organization_id: exact, order_by: canonical_order::<v1::Channel> }
    ListDeliveriesRequest {
        organization_id: exact,
        endpoint_ids: set,
        event_id: exact,
        event_types: set,
        states: set,
        start_time: time,
        end_time: time,
        view: list_view::<v1::DeliveryView>,
    }
    ListEndpointsRequest {
        organization_id: exact,
        states: set,
        search: regardless_of_case,
        order_by: canonical_order::<v1::Endpoint>,
    }
    ListEventTypesRequest { organization_id: exact }
    ListEventsRequest {
        organization_id: exact,
        event_types: set,
        start_time: time,
        end_time: time,
        view: list_view::<v1::EventView>,
    }
    ListKeysRequest {
        organization_id: exact,
        kind: exact,
        states: set,
        order_by: canonical_order::<v1::Key>,
    }
    ListNotificationsRequest { organization_id: exact, channel_ids: set, states: set }
    ListReplaysRequest { organization_id: exact, endpoint_ids: set, states: set }
}

/// A value has one spelling.
fn exact<T>(value: T) -> T {
    value
}

/// A filter by several values: neither their order nor how often each is there matters.
fn set<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}

/// Times are cut to microseconds. One that cannot be read is refused, wherever it stands.
fn time(time: Option<prost_types::Timestamp>) -> Option<prost_types::Timestamp> {
    time.map(|time| timestamp_from_proto(&time).map_or(time, timestamp_to_proto))
}

/// ASCII case does not matter.
fn regardless_of_case(text: String) -> String {
    text.to_ascii_lowercase()
}

/// The default may be left out.
fn list_view<M: TryFrom<i32> + Into<Option<View>>>(number: i32) -> i32 {
    let known = M::try_from(number).ok().and_then(Into::into);
    if known == Some(View::OF_LISTS) { 0 } else { number }
}

fn digest(request: &impl ListRequest) -> ListDigest {
    let digest = Sha256::digest(request.canonical_first_page().encode_to_vec());
    digest.first_chunk().copied().unwrap_or_default()
}

/// What one read of a list returns.
#[derive(Debug)]
pub struct ListChunk<Id, Item> {
    /// The first items after the place where the read began, with their ids.
    pub items: Vec<(Id, Item)>,
    /// The last id that the read looked at, whether it matched or not. None: the list ends here.
    pub next: Option<Id>,
}

impl<Id: Copy, Item> ListChunk<Id, Item> {
    /// The result of reading an unfiltered list: fewer items than `limit` are its end.
    pub fn of_all(items: Vec<(Id, Item)>, limit: usize) -> ListChunk<Id, Item> {
        let next = items.last().filter(|_| items.len() >= limit).map(|(id, _)| *id);
        ListChunk { items, next }
    }
}

impl<Id: Copy + Display + FromStr> Page<Id> {
    /// The page that a request asks for. `first` is above every id.
    pub(super) fn of(request: &impl ListRequest, first: Id) -> Result<Self, Vec<Violation>> {
        let list = digest(request);
        match (size(request.page_size()), before(request.page_token(), list, first)) {
            (Ok(size), Ok(before)) => Ok(Page { before, size, list }),
            (size, before) => Err(size.err().into_iter().chain(before.err()).collect()),
        }
    }

    /// The page's items and its `next_page_token`. The page ends early, with a token, when another
    /// item would make the response larger than clients read, and after [`MAX_READS_PER_PAGE`]
    /// reads.
    ///
    /// `read` gets an id and a limit, and returns at most that many of the items that are older
    /// than the id, newest first. A page that needs more than one read is a long one: `permit` is
    /// awaited before the second read, and its value is kept until the page is done. Tokens are
    /// made nowhere else, so no list can forget the limits.
    pub async fn fill<Item: Message, Error, Reading, Permit>(
        &self,
        permit: impl Future<Output = Result<Permit, Error>>,
        read: impl Fn(Id, usize) -> Reading,
    ) -> Result<(Vec<Item>, String), Error>
    where
        Reading: Future<Output = Result<ListChunk<Id, Item>, Error>>,
    {
        let (mut items, mut budget, mut before) = (Vec::new(), ResponseBudget::new(), self.before);
        let (mut permit, mut _held_permit) = (Some(permit), None);
        for reads in 1.. {
            // One more than the page has, to see whether another follows.
            let limit = (self.size + 1 - items.len()).min(ITEMS_PER_READ);
            let chunk = read(before, limit).await?;
            for (id, item) in chunk.items {
                let fits = budget.take_item(&item, items.is_empty());
                if items.len() == self.size || !fits {
                    return Ok((items, self.token(before)));
                }
                before = id;
                items.push(item);
            }
            let Some(next) = chunk.next else { break };
            before = next;
            if reads == MAX_READS_PER_PAGE {
                return Ok((items, self.token(before)));
            }
            if let Some(permit) = permit.take() {
                _held_permit = Some(permit.await?);
            }
        }
        Ok((items, String::new()))
    }

    /// The first page that a request in another order asks for, and what the token of the previous page
    /// says, if the request has one.
    pub(super) fn of_other_order(
        request: &impl ListRequest,
        first: Id,
    ) -> Result<(Self, Option<Vec<u8>>), Vec<Violation>> {
        let list = digest(request);
        match (size(request.page_size()), payload(request.page_token(), list)) {
            (Ok(size), Ok(payload)) => Ok((Page { before: first, size, list }, payload)),
            (size, payload) => Err(size.err().into_iter().chain(payload.err()).collect()),
        }
    }

    /// The token of the page that begins below an id.
    fn token(&self, before: Id) -> String {
        self.token_of(before.to_string().as_bytes())
    }

    /// A token that says this.
    pub(super) fn token_of(&self, payload: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([self.list.as_slice(), payload].concat())
    }
}

fn size(page_size: i32) -> Result<usize, Violation> {
    match usize::try_from(page_size) {
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) => Ok(size.min(MAX_PAGE_SIZE)),
        Err(_) => Err(Violation::out_of_range("page_size", "must not be negative; 0 means 50")),
    }
}

fn before<Id: FromStr>(page_token: &str, list: ListDigest, first: Id) -> Result<Id, Violation> {
    let Some(id) = payload(page_token, list)? else { return Ok(first) };
    let id = std::str::from_utf8(&id).ok().and_then(|id| id.parse().ok());
    id.ok_or_else(invalid_page_token)
}

/// What a token of the list says. None: there is no token.
fn payload(page_token: &str, list: ListDigest) -> Result<Option<Vec<u8>>, Violation> {
    if page_token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(page_token).unwrap_or_default();
    let (its_list, payload) = bytes.split_first_chunk().ok_or_else(invalid_page_token)?;
    if *its_list != list {
        let description = "is from another list, or from one with other filters or another order: send it with the request of the page that it came with, or send no token to start anew";
        return Err(Violation::not_allowed("page_token", description));
    }
    Ok(Some(payload.to_vec()))
}

/// The violation of a page token that this list has not issued.
pub fn invalid_page_token() -> Violation {
    let description =
        "is not from this list: send next_page_token as it was, or nothing to start anew";
    Violation::invalid_format("page_token", description)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fmt::Debug;
    use std::future::ready;

    use futures_util::FutureExt;
    use keeptrusts_webhooks_domain::ids::{EndpointId, EventId};
    use prost_reflect::{DescriptorPool, DynamicMessage, Kind, Value};
    use ulid::Ulid;

    use super::*;
    use crate::API_DESCRIPTORS;
    use crate::api::MAX_RESPONSE_BYTES;

    const LIST: ListDigest = [7; 8];

    fn id(number: u128) -> EndpointId {
        EndpointId::new(Ulid(number))
    }

    #[test]
    fn a_page_has_50_items_by_default_and_1000_at_most() {
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
            ready(Ok::<_, ()>(ListChunk::of_all(shown.collect(), limit)))
        };
        let filled = page.fill(ready(Ok(())), read).now_or_never();
        let filled = filled.expect("nothing waits").expect("reads");
        let in_vain = reads.get() - filled.0.len();
        assert!(in_vain <= ITEMS_PER_READ, "{in_vain} were read and not shown");
        filled
    }

    fn ids(endpoints: &[v1::Endpoint]) -> Vec<EndpointId> {
        endpoints.iter().map(|endpoint| endpoint.id.parse().expect("an id")).collect()
    }

    #[test]
    fn a_token_leads_to_the_items_after_the_last_one() {
        let page = Page { before: EndpointId::MAX, size: 2, list: LIST };
        let (endpoints, token) = filled(&page, 3, 0);
        assert_eq!(ids(&endpoints), [id(3), id(2)]);
        assert_eq!(before(&token, LIST, EndpointId::MAX), Ok(id(2)));
    }

    /// Fills a page from a list of so many rows, of which only the first and the last are shown, a
    /// thousand looked at in each read. Also returns how often the permit was awaited.
    fn looked_through(page: &Page<EndpointId>, rows: u128) -> (Vec<EndpointId>, String, usize) {
        let (reads, permits) = (Cell::new(0), Cell::new(0));
        let read = |before: EndpointId, _| {
            reads.set(reads.get() + 1);
            let from = before.ulid().0.min(rows + 1);
            let floor = from.saturating_sub(1_000).max(1);
            let shown = [rows, 1].into_iter().filter(|row| (floor..from).contains(row)).map(id);
            let items =
                shown.map(|id| (id, v1::Endpoint { id: id.to_string(), ..Default::default() }));
            let next = (floor > 1).then(|| id(floor));
            ready(Ok::<_, ()>(ListChunk { items: items.collect(), next }))
        };
        let permit = async {
            permits.set(permits.get() + 1);
            Ok(())
        };
        let filled = page.fill(permit, read).now_or_never().expect("nothing waits").expect("reads");
        assert!(reads.get() <= MAX_READS_PER_PAGE);
        (ids(&filled.0), filled.1, permits.get())
    }

    #[test]
    fn a_page_reads_at_most_100_times_and_the_next_one_goes_on_there() {
        let first = Page { before: EndpointId::MAX, size: 2, list: LIST };
        let (found, token, _) = looked_through(&first, 150_000);
        assert_eq!(found, [id(150_000)], "a short page");
        let next = Page {
            before: before(&token, LIST, EndpointId::MAX).expect("a token"),
            size: 2,
            list: LIST,
        };
        assert_eq!(next.before, id(50_001));
        assert_eq!(looked_through(&next, 150_000).0, [id(1)]);
        assert_eq!(looked_through(&next, 150_000).1, "");
        let (found, token, _) = looked_through(&first, 250_000);
        let next = Page {
            before: before(&token, LIST, EndpointId::MAX).expect("a token"),
            size: 2,
            list: LIST,
        };
        let (none, token, _) = looked_through(&next, 250_000);
        assert_eq!((found.len(), none.len(), token.is_empty()), (1, 0, false), "an empty page");
    }

    #[test]
    fn a_page_awaits_its_permit_once_and_only_before_a_second_read() {
        let page = Page { before: EndpointId::MAX, size: 50, list: LIST };
        assert_eq!(looked_through(&page, 900).2, 0);
        assert_eq!(looked_through(&page, 1_001).2, 1);
        assert_eq!(looked_through(&page, 50_000).2, 1);
    }

    #[test]
    fn a_page_of_100_items_needs_one_read_and_no_permit() {
        for (size, waits) in [(LONGEST_SHORT_PAGE, false), (LONGEST_SHORT_PAGE + 1, true)] {
            let page = Page { before: EndpointId::MAX, size, list: LIST };
            let read = |before: EndpointId, limit: usize| {
                let older = (1..=1_000).rev().map(id).filter(move |id| *id < before).take(limit);
                let items = older.map(|id| (id, v1::Endpoint::default())).collect();
                ready(Ok::<_, ()>(ListChunk::of_all(items, limit)))
            };
            let refused = page.fill(ready(Err::<(), _>(())), read).now_or_never();
            assert_eq!(refused.expect("nothing waits").is_err(), waits, "{size}");
        }
    }

    #[test]
    fn the_last_page_has_no_token() {
        let page = Page { before: EndpointId::MAX, size: 2, list: LIST };
        let (endpoints, token) = filled(&page, 2, 0);
        assert_eq!((ids(&endpoints), token), (vec![id(2), id(1)], String::new()));
        let (endpoints, token) = filled(&page, 0, 0);
        assert_eq!((ids(&endpoints), token), (Vec::new(), String::new()));
        let page = Page { before: EndpointId::MAX, size: MAX_PAGE_SIZE, list: LIST };
        for list in [ITEMS_PER_READ - 1, ITEMS_PER_READ, ITEMS_PER_READ + 1, MAX_PAGE_SIZE] {
            let (endpoints, token) = filled(&page, list as u128, 0);
            assert_eq!((endpoints.len(), token), (list, String::new()));
        }
    }

    #[test]
    fn a_page_of_large_items_ends_early_and_the_next_one_goes_on() {
        let mut page = Page { before: EndpointId::MAX, size: MAX_PAGE_SIZE, list: LIST };
        let (mut all, mut pages) = (Vec::new(), 0);
        loop {
            let (endpoints, next_page_token) = filled(&page, 1_000, 20_000);
            all.extend(ids(&endpoints));
            pages += 1;
            let token = next_page_token.clone();
            let answer = v1::ListEndpointsResponse { endpoints, next_page_token };
            assert!(answer.encoded_len() <= MAX_RESPONSE_BYTES, "{}", answer.encoded_len());
            if token.is_empty() {
                break;
            }
            page.before = before(&token, LIST, EndpointId::MAX).expect("a token of ours");
        }
        assert!(all.into_iter().eq((1..=1_000).rev().map(id)));
        assert_eq!(pages, 5, "as much as fits, at 200 of 20,000 bytes");
    }

    #[test]
    fn an_item_that_fits_no_response_is_a_page_of_its_own() {
        let page = Page { before: EndpointId::MAX, size: 10, list: LIST };
        let (endpoints, token) = filled(&page, 2, MAX_RESPONSE_BYTES);
        assert_eq!(ids(&endpoints), [id(2)]);
        assert_eq!(before(&token, LIST, EndpointId::MAX), Ok(id(2)));
    }

    #[test]
    fn a_token_that_is_not_from_this_list_is_refused() {
        let page = Page { before: EndpointId::MAX, size: 1, list: LIST };
        let (_, token) = filled(&page, 2, 0);
        let wrong = before(&token, LIST, EventId::MAX).expect_err("not an event's id");
        assert_eq!(wrong.field, "page_token");
        for token in ["!", "2", "_w", &id(1).to_string()] {
            assert!(before(token, LIST, EndpointId::MAX).is_err(), "{token:?}");
        }
    }

    #[test]
    fn a_token_is_refused_with_other_filters() {
        let of = |search: &str, page_size, page_token: &str| v1::ListEndpointsRequest {
            organization_id: "acme".to_owned(),
            search: search.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let first = Page::of(&of("siem", 1, ""), EndpointId::MAX).expect("a page");
        let token = first.token(id(2));
        let next = Page::of(&of("siem", 9, &token), EndpointId::MAX).expect("the page may grow");
        assert_eq!((next.before, next.size), (id(2), 9));
        let wrong = Page::of(&of("pager", 1, &token), EndpointId::MAX).expect_err("another list");
        assert_eq!(wrong[0].field, "page_token");
        assert!(wrong[0].description.contains("other filters"), "{}", wrong[0]);
        let theirs =
            v1::ListEndpointsRequest { organization_id: "b".to_owned(), ..of("siem", 1, &token) };
        assert!(Page::of(&theirs, EndpointId::MAX).is_err(), "of another organization");
    }

    /// A request with a value in each field, and those that mean the same: by the kinds of its fields.
    fn spellings<Request: Message + Default>(name: &str) -> (Request, Vec<(String, Request)>) {
        let pool = DescriptorPool::decode(API_DESCRIPTORS).expect("descriptors");
        let message = pool.get_message_by_name(&format!("keeptrusts.webhooks.v1.{name}"));
        let message = message.expect("it is in the contracts");
        let mut request = DynamicMessage::new(message.clone());
        let mut others = Vec::new();
        let text = |text: &str| Value::String(text.to_owned());
        let timestamp = |nanos| {
            let time = prost_types::Timestamp { seconds: 1_000, nanos };
            let descriptor = pool.get_message_by_name("google.protobuf.Timestamp").expect("it");
            let mut message = DynamicMessage::new(descriptor);
            message.transcode_from(&time).expect("it is one");
            Value::Message(message)
        };
        for field in message.fields() {
            let (value, same) = match (field.name(), field.kind()) {
                ("page_size", _) => (Value::I32(10), vec![Value::I32(20)]),
                ("page_token", _) => (text(""), vec![]),
                ("view", _) => (Value::EnumNumber(0), vec![Value::EnumNumber(1)]),
                ("search", _) => (text("siem"), vec![text("SIEM")]),
                ("order_by", _) => {
                    let same = [" id  desc ", "id desc, create_time"];
                    (text(""), same.map(text).to_vec())
                }
                (_, Kind::Message(_)) => (timestamp(5_000), vec![timestamp(5_999)]),
                (_, Kind::Enum(_)) if field.is_list() => {
                    let list = |numbers: &[i32]| {
                        Value::List(numbers.iter().map(|it| Value::EnumNumber(*it)).collect())
                    };
                    (list(&[1, 2]), vec![list(&[2, 1]), list(&[1, 2, 1])])
                }
                (_, Kind::String) if field.is_list() => {
                    let list =
                        |texts: &[&str]| Value::List(texts.iter().map(|it| text(it)).collect());
                    (list(&["a", "b"]), vec![list(&["b", "a"]), list(&["a", "b", "b"])])
                }
                (_, Kind::String) => (text("a"), vec![]),
                (_, Kind::Enum(_)) => (Value::EnumNumber(1), vec![]),
                other => panic!("how can {other:?} be written?"),
            };
            request.set_field(&field, value);
            others.extend(same.into_iter().map(|value| (field.clone(), value)));
        }
        let read = |message: &DynamicMessage| message.transcode_to().expect("the same message");
        let others = others.into_iter().map(|(field, value)| {
            let mut other = request.clone();
            other.set_field(&field, value);
            (format!("{name}.{}: {other}", field.name()), read(&other))
        });
        (read(&request), others.collect())
    }

    fn assert_meaning_counts<Request: ListRequest + Default + PartialEq + Debug>(name: &str) {
        let (request, same) = spellings::<Request>(name);
        for (what, other) in same {
            assert_ne!(request, other, "{what}");
            assert_eq!(digest(&request), digest(&other), "{what}");
        }
        assert_ne!(digest(&request), digest(&Request::default()), "{name}");
    }

    #[test]
    fn a_token_goes_with_every_request_that_means_the_same_list() {
        macro_rules! each {
            ($($request:ident)*) => {
                [$({
                    assert_meaning_counts::<v1::$request>(stringify!($request));
                    stringify!($request)
                }),*]
            };
        }
        let checked = each!(
            ListAttemptsRequest ListAuditEntriesRequest ListChannelsRequest ListDeliveriesRequest
            ListEndpointsRequest ListEventTypesRequest ListEventsRequest ListKeysRequest
            ListNotificationsRequest ListReplaysRequest
        );
        let pool = DescriptorPool::decode(API_DESCRIPTORS).expect("descriptors");
        for message in pool.all_messages() {
            let is_list = message.get_field_by_name("page_token").is_some();
            assert!(!is_list || checked.contains(&message.name()), "{}", message.name());
        }
        let order = |order_by: &str| v1::ListKeysRequest {
            order_by: order_by.to_owned(),
            ..Default::default()
        };
        let [one, same, other] =
            ["role, id , create_time", " role,id", "role desc,id"].map(|it| digest(&order(it)));
        assert!(one == same && one != other);
    }
}
