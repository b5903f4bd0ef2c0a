//! Pages of a list that can be sorted by its fields, as AIP-132 describes it.
//!
//! No index has such an order: a state depends on the time, and the last use of a key is in another
//! table. So a page reads the whole list in the order of the ids, and keeps what it has room for: no
//! more than one response. Endpoints and channels are limited for each organization, and keys are few
//! unless there are very many sessions.
//!
//! Decision: docs/decisions/pages-are-filled-in-one-place.md

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::str::FromStr;

use keeptrusts_webhooks_domain::violation::Violation;
use prost::Message;

use super::page::{ListChunk, ListRequest, Page, invalid_page_token};
use super::response_size::{MAX_RESPONSE_BYTES, ResponseBudget};
use crate::v1;

/// The most rows that are sorted, whether they match the filter or not.
pub const MAX_SORTED_ROWS: usize = 100_000;

/// The list has more than [`MAX_SORTED_ROWS`] rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyToSort;

/// A field's value, for comparing. Of one field, all values are of the same variant or absent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortValue {
    /// An enum's value. Enums sort in the order of their values.
    Number(i32),
    /// A text as a reader of a table expects it: regardless of case first, and then by code point.
    Text {
        /// In lower case.
        folded: String,
        /// As it is.
        text: String,
    },
    /// A time, in seconds and nanoseconds.
    Time(i64, i32),
    /// No time. It is the last one.
    Absent,
}

/// A resource whose list can be sorted.
pub trait Sortable: Message + Sized + 'static {
    /// The fields that it can be sorted by.
    const FIELDS: &'static [SortField<Self>];
    /// How many rows one read returns: as many as may be in memory at once.
    const ROWS_PER_READ: usize;
}

/// The name of a field, and its value in a resource.
pub type SortField<Item> = (&'static str, fn(&Item) -> SortValue);

/// Which part of a list to return, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedPage<Id> {
    page: Page<Id>,
    /// The fields by name. Empty: newest first.
    order: Vec<Sorting>,
    /// The last item of the previous page. None: this is the first page, or it is newest first.
    after: Option<Place<Id>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sorting {
    field: &'static str,
    is_descending: bool,
}

/// A place in the order. Items that are equal in all fields sort by their ids, the newest first.
type Place<Id> = (Vec<Directed>, Reverse<Id>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Directed {
    Ascending(SortValue),
    Descending(Reverse<SortValue>),
}

impl SortValue {
    fn text(text: &str) -> SortValue {
        SortValue::Text { folded: text.to_lowercase(), text: text.to_owned() }
    }

    fn time(time: Option<&prost_types::Timestamp>) -> SortValue {
        time.map_or(SortValue::Absent, |time| SortValue::Time(time.seconds, time.nanos))
    }
}

impl Directed {
    fn new(value: SortValue, is_descending: bool) -> Directed {
        match is_descending {
            true => Directed::Descending(Reverse(value)),
            false => Directed::Ascending(value),
        }
    }

    fn value(&self) -> &SortValue {
        let (Directed::Ascending(value) | Directed::Descending(Reverse(value))) = self;
        value
    }
}

impl Sortable for v1::Endpoint {
    const FIELDS: &'static [SortField<Self>] = &[
        ("id", |it| SortValue::text(&it.id)),
        ("display_name", |it| SortValue::text(&it.display_name)),
        ("url", |it| SortValue::text(&it.url)),
        ("state", |it| SortValue::Number(it.state)),
        ("create_time", |it| SortValue::time(it.create_time.as_ref())),
        ("update_time", |it| SortValue::time(it.update_time.as_ref())),
    ];
    // Of up to 64 KiB each.
    const ROWS_PER_READ: usize = 100;
}

impl Sortable for v1::Channel {
    const FIELDS: &'static [SortField<Self>] = &[
        ("id", |it| SortValue::text(&it.id)),
        ("display_name", |it| SortValue::text(&it.display_name)),
        ("state", |it| SortValue::Number(it.state)),
        ("create_time", |it| SortValue::time(it.create_time.as_ref())),
        ("update_time", |it| SortValue::time(it.update_time.as_ref())),
    ];
    // An organization has no more than 50.
    const ROWS_PER_READ: usize = 100;
}

impl Sortable for v1::Key {
    const FIELDS: &'static [SortField<Self>] = &[
        ("id", |it| SortValue::text(&it.id)),
        ("display_name", |it| SortValue::text(&it.display_name)),
        ("role", |it| SortValue::Number(it.role)),
        ("create_time", |it| SortValue::time(it.create_time.as_ref())),
        ("end_time", |it| SortValue::time(it.end_time.as_ref())),
        ("last_use_time", |it| SortValue::time(it.last_use_time.as_ref())),
    ];
    // Of less than 1 KiB each.
    const ROWS_PER_READ: usize = 1_000;
}

impl<Id: Copy + Display + FromStr + Ord> SortedPage<Id> {
    /// The page that a request asks for. `first` is above every id.
    pub(super) fn of<Item: Sortable>(
        request: &impl ListRequest,
        order_by: &str,
        first: Id,
    ) -> Result<Self, Vec<Violation>> {
        let order = order::<Item>(order_by).map_err(|wrong| {
            let others = Page::of_other_order(request, first).err();
            [wrong].into_iter().chain(others.into_iter().flatten()).collect::<Vec<_>>()
        })?;
        if order.is_empty() {
            let page = Page::of(request, first)?;
            return Ok(SortedPage { page, order, after: None });
        }
        let (page, payload) = Page::of_other_order(request, first)?;
        let after = payload.map(|payload| place_of_token(&payload, &order)).transpose();
        let after = after.map_err(|wrong| vec![wrong])?;
        Ok(SortedPage { page, order, after })
    }

    /// The page's items and its `next_page_token`. See [`Page::fill`], which does it if the newest come
    /// first. In another order every row is read, so that a list of more than one read is a long one.
    ///
    /// Nothing is missing and nothing twice but what moves between two pages because its own values
    /// change: it may be on both, or on none.
    pub async fn fill<Item: Sortable, Error: From<TooManyToSort>, Reading, Permit>(
        &self,
        permit: impl Future<Output = Result<Permit, Error>>,
        read: impl Fn(Id, usize) -> Reading,
    ) -> Result<(Vec<Item>, String), Error>
    where
        Reading: Future<Output = Result<ListChunk<Id, Item>, Error>>,
    {
        if self.order.is_empty() {
            return self.page.fill(permit, read).await;
        }
        let (mut first_items, mut before) = (FirstItems::new(self.page.size), self.page.before);
        let (mut permit, mut _held_permit) = (Some(permit), None);
        let mut rows = 0;
        loop {
            let chunk = read(before, Item::ROWS_PER_READ).await?;
            for (id, item) in chunk.items {
                let place = self.place(&item, id);
                if self.after.as_ref().is_none_or(|after| place > *after) {
                    first_items.insert(place, item);
                }
            }
            let Some(next) = chunk.next else { break };
            before = next;
            rows += Item::ROWS_PER_READ;
            if rows >= MAX_SORTED_ROWS {
                return Err(TooManyToSort.into());
            }
            if let Some(permit) = permit.take() {
                _held_permit = Some(permit.await?);
            }
        }
        let (items, last) = first_items.into_page();
        Ok((items, last.map(|place| self.token(&place)).unwrap_or_default()))
    }

    fn place<Item: Sortable>(&self, item: &Item, id: Id) -> Place<Id> {
        let values = self.order.iter().map(|sorting| {
            let field = Item::FIELDS.iter().find(|(name, _)| *name == sorting.field);
            let value = field.map_or(SortValue::Absent, |(_, value)| value(item));
            Directed::new(value, sorting.is_descending)
        });
        (values.collect(), Reverse(id))
    }

    fn token(&self, (values, Reverse(id)): &Place<Id>) -> String {
        let values = values.iter().map(|value| TokenValue::of(value.value())).collect();
        let token = Token { values, id: id.to_string() };
        self.page.token_of(&token.encode_to_vec())
    }
}

/// The first items in an order: as many as a page has, one more, and no more than fit into a response
/// but one.
struct FirstItems<Id, Item> {
    items: BTreeMap<Place<Id>, Item>,
    bytes: usize,
    page_size: usize,
}

impl<Id: Copy + Ord, Item: Message> FirstItems<Id, Item> {
    fn new(page_size: usize) -> Self {
        FirstItems { items: BTreeMap::new(), bytes: 0, page_size }
    }

    fn insert(&mut self, place: Place<Id>, item: Item) {
        self.bytes += item.encoded_len();
        self.items.insert(place, item);
        // The last one is not needed if the others already are more than the page has. One alone never
        // is: it is a page, however large.
        while let Some(last) = self.items.last_entry() {
            let others = self.bytes - last.get().encoded_len();
            let kept = self.items.len() - 1;
            if kept <= self.page_size && (kept <= 1 || others <= MAX_RESPONSE_BYTES) {
                break;
            }
            self.bytes = others;
            self.items.pop_last();
        }
    }

    /// The items of the page and, if others follow, the place of its last item.
    fn into_page(self) -> (Vec<Item>, Option<Place<Id>>) {
        let (mut items, mut budget, mut last) = (Vec::new(), ResponseBudget::new(), None);
        for (place, item) in self.items {
            let fits = budget.take_item(&item, items.is_empty());
            if items.len() == self.page_size || !fits {
                return (items, last);
            }
            items.push(item);
            last = Some(place);
        }
        (items, None)
    }
}

/// The fields of an `order_by`. Empty: newest first, which is `id desc`.
fn order<Item: Sortable>(order_by: &str) -> Result<Vec<Sorting>, Violation> {
    let wrong = |description: String| Err(Violation::invalid_format("order_by", description));
    let mut order: Vec<Sorting> = Vec::new();
    if order_by.trim().is_empty() {
        return Ok(order);
    }
    for entry in order_by.split(',') {
        let mut words = entry.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let known = Item::FIELDS.iter().find(|(known, _)| *known == name);
        let is_descending = match (words.next(), words.next()) {
            (None, None) => Some(false),
            (Some("desc"), None) => Some(true),
            _ => None,
        };
        let (Some((field, _)), Some(is_descending)) = (known, is_descending) else {
            let names: Vec<_> = Item::FIELDS.iter().map(|(name, _)| *name).collect();
            return wrong(format!(
                "must be fields with commas between them, each of {}, with ` desc` after a field for the reverse",
                names.join(", ")
            ));
        };
        if order.iter().any(|sorting| sorting.field == *field) {
            return wrong(format!("has {field} twice"));
        }
        order.push(Sorting { field, is_descending });
    }
    // No two ids are equal, so that nothing after the id matters.
    if let Some(at) = order.iter().position(|sorting| sorting.field == "id") {
        order.truncate(at + 1);
    }
    let newest_first = Sorting { field: "id", is_descending: true };
    Ok(if order == [newest_first] { Vec::new() } else { order })
}

/// An `order_by` in the one way in which it could be written, if it can be read.
pub(super) fn canonical_order<Item: Sortable>(order_by: String) -> String {
    let Ok(order) = order::<Item>(&order_by) else { return order_by };
    let entries = order.iter().map(|sorting| match sorting.is_descending {
        true => format!("{} desc", sorting.field),
        false => sorting.field.to_owned(),
    });
    entries.collect::<Vec<_>>().join(",")
}

/// What a page token carries of the last item of its page.
#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(message, repeated, tag = "1")]
    values: Vec<TokenValue>,
    #[prost(string, tag = "2")]
    id: String,
}

/// A value. None of its fields: it is absent.
#[derive(Clone, PartialEq, Message)]
struct TokenValue {
    #[prost(int32, optional, tag = "1")]
    number: Option<i32>,
    #[prost(string, optional, tag = "2")]
    text: Option<String>,
    #[prost(message, optional, tag = "3")]
    time: Option<prost_types::Timestamp>,
}

impl TokenValue {
    fn of(value: &SortValue) -> TokenValue {
        match value {
            SortValue::Number(number) => TokenValue { number: Some(*number), ..Default::default() },
            SortValue::Text { text, .. } => {
                TokenValue { text: Some(text.clone()), ..Default::default() }
            }
            SortValue::Time(seconds, nanos) => {
                let time = prost_types::Timestamp { seconds: *seconds, nanos: *nanos };
                TokenValue { time: Some(time), ..Default::default() }
            }
            SortValue::Absent => TokenValue::default(),
        }
    }

    fn value(&self) -> SortValue {
        match self {
            TokenValue { number: Some(number), .. } => SortValue::Number(*number),
            TokenValue { text: Some(text), .. } => SortValue::text(text),
            TokenValue { time, .. } => SortValue::time(time.as_ref()),
        }
    }
}

fn place_of_token<Id: FromStr>(payload: &[u8], order: &[Sorting]) -> Result<Place<Id>, Violation> {
    let token = Token::decode(payload).map_err(|_| invalid_page_token())?;
    let id = token.id.parse().map_err(|_| invalid_page_token())?;
    if token.values.len() != order.len() {
        return Err(invalid_page_token());
    }
    let values = token.values.iter().zip(order);
    let values = values.map(|(value, sorting)| Directed::new(value.value(), sorting.is_descending));
    Ok((values.collect(), Reverse(id)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use futures_util::FutureExt;
    use keeptrusts_webhooks_domain::ids::KeyId;
    use ulid::Ulid;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Refused;

    impl From<TooManyToSort> for Refused {
        fn from(_: TooManyToSort) -> Refused {
            Refused
        }
    }

    fn id(number: usize) -> KeyId {
        KeyId::new(Ulid(number as u128))
    }

    fn seconds(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn key(number: usize) -> v1::Key {
        // Many equal values, and none of them in the order of the ids.
        let names = ["beta", "Alpha", "alpha", "Ärger", "zoo", "ALPHA", "ärger"];
        v1::Key {
            id: id(number).to_string(),
            display_name: names[number * 5 % names.len()].to_owned(),
            role: (number % 3) as i32,
            last_use_time: if number.is_multiple_of(4) {
                None
            } else {
                seconds((number * 7 % 5) as i64)
            },
            ..Default::default()
        }
    }

    fn page(order_by: &str, token: &str, size: i32) -> Result<SortedPage<KeyId>, Vec<Violation>> {
        let request = v1::ListKeysRequest {
            order_by: order_by.to_owned(),
            page_token: token.to_owned(),
            page_size: size,
            ..Default::default()
        };
        SortedPage::of::<v1::Key>(&request, order_by, KeyId::MAX)
    }

    /// Fills a page of a list.
    fn filled(
        page: &SortedPage<KeyId>,
        list: &[v1::Key],
    ) -> Result<(Vec<v1::Key>, String), Refused> {
        let read = |before: KeyId, limit: usize| {
            let mut rows: Vec<(KeyId, v1::Key)> =
                list.iter().map(|key| (key.id.parse().expect("an id"), key.clone())).collect();
            rows.sort_by_key(|(id, _)| Reverse(*id));
            rows.retain(|(id, _)| *id < before);
            rows.truncate(limit);
            ready(Ok(ListChunk::of_all(rows, limit)))
        };
        page.fill(ready(Ok(())), read).now_or_never().expect("nothing waits")
    }

    /// All pages of a list.
    fn walked(order_by: &str, size: i32, list: &[v1::Key]) -> Vec<v1::Key> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let page = page(order_by, &token, size).expect("a token of ours");
            let (keys, next) = filled(&page, list).expect("few enough");
            assert!(keys.len() <= size as usize);
            all.extend(keys);
            if next.is_empty() {
                return all;
            }
            token = next;
        }
    }

    #[test]
    fn a_walk_shows_each_item_once_in_the_order_of_any_fields() {
        let list: Vec<_> = (1..=50).map(key).collect();
        let names: Vec<_> = v1::Key::FIELDS.iter().map(|(name, _)| *name).collect();
        for name in &names {
            for other in &names {
                for order_by in [
                    (*name).to_owned(),
                    format!("{name} desc"),
                    format!("{name},{other} desc"),
                    format!(" {name}  desc , {other} "),
                ] {
                    if name == other && order_by.contains(',') {
                        continue;
                    }
                    let whole = walked(&order_by, 1_000, &list);
                    assert_eq!(whole.len(), 50, "{order_by}");
                    let ids: std::collections::BTreeSet<_> =
                        whole.iter().map(|key| key.id.clone()).collect();
                    assert_eq!(ids.len(), 50, "{order_by}");
                    for size in [1, 3, 7, 49, 50] {
                        assert_eq!(walked(&order_by, size, &list), whole, "{order_by}, {size}");
                    }
                }
            }
        }
    }

    fn sorted_by<T>(order_by: &str, list: &[v1::Key], value: impl Fn(&v1::Key) -> T) -> Vec<T> {
        walked(order_by, 3, list).iter().map(value).collect()
    }

    #[test]
    fn text_sorts_regardless_of_case_and_equal_names_by_code_point_and_the_newest_first() {
        let list: Vec<_> = (1..=8).map(key).collect();
        let name = |key: &v1::Key| key.display_name.clone();
        assert_eq!(
            sorted_by("display_name", &list, name),
            ["ALPHA", "ALPHA", "Alpha", "alpha", "beta", "zoo", "Ärger", "ärger"]
        );
        let ids = sorted_by("display_name", &list, |key| key.id.clone());
        assert_eq!(ids[..2], [id(8).to_string(), id(1).to_string()]);
        let mut reversed = sorted_by("display_name desc", &list, name);
        reversed.reverse();
        assert_eq!(reversed, sorted_by("display_name", &list, name));
    }

    #[test]
    fn an_absent_time_is_the_last_one() {
        let list: Vec<_> = (1..=8).map(key).collect();
        let time = |key: &v1::Key| key.last_use_time.map(|time| time.seconds);
        let times = sorted_by("last_use_time", &list, time);
        assert_eq!(times, [Some(0), Some(1), Some(2), Some(2), Some(4), Some(4), None, None]);
        let times = sorted_by("last_use_time desc", &list, time);
        assert_eq!(times, [None, None, Some(4), Some(4), Some(2), Some(2), Some(1), Some(0)]);
    }

    #[test]
    fn a_change_between_two_pages_moves_only_what_has_changed() {
        let mut list: Vec<_> = (1..=20).map(key).collect();
        let (first, token) =
            filled(&page("last_use_time", "", 10).expect("a page"), &list).expect("few");
        // The last one of the first page, and another one of the second.
        list.retain(|key| key.id != first[9].id);
        let moved = list.iter_mut().find(|key| !first.contains(key)).expect("one that is left");
        moved.last_use_time = seconds(-1);
        let moved = moved.id.clone();
        let (second, token) =
            filled(&page("last_use_time", &token, 10).expect("a page"), &list).expect("few");
        assert_eq!(token, "");
        let ids = first.iter().chain(&second).map(|key| key.id.clone());
        let ids: std::collections::BTreeSet<_> = ids.collect();
        assert_eq!((ids.len(), ids.contains(&moved)), (19, false));
        assert_eq!(first.len() + second.len(), 19);
    }

    #[test]
    fn an_order_names_known_fields_once() {
        for (order_by, words) in [
            ("name", "must be fields"),
            ("display_name ascending", "must be fields"),
            ("display_name desc desc", "must be fields"),
            ("display_name,,role", "must be fields"),
            ("display_name;role", "must be fields"),
            ("role,display_name,role desc", "has role twice"),
        ] {
            let violations = page(order_by, "", 1).expect_err(order_by);
            assert_eq!((violations.len(), &*violations[0].field), (1, "order_by"));
            assert!(violations[0].description.contains(words), "{}", violations[0].description);
        }
        let allowed = page("name", "", 1).expect_err("unknown")[0].description.clone();
        for (name, _) in v1::Key::FIELDS {
            assert!(allowed.contains(name), "{allowed}");
        }
        for newest_first in ["", " ", "id desc", "id desc, role"] {
            assert_eq!(page(newest_first, "", 1).expect("an order").order, []);
        }
        assert_eq!(page("role, id, create_time", "", 1).expect("an order").order.len(), 2);
    }

    #[test]
    fn a_token_is_for_its_own_order() {
        let list: Vec<_> = (1..=9).map(key).collect();
        let token =
            |order_by| filled(&page(order_by, "", 2).expect("a page"), &list).expect("few").1;
        for (one, other) in [
            ("display_name", "display_name desc"),
            ("display_name", ""),
            ("", "role"),
            ("role", "role,display_name"),
        ] {
            let violations = page(other, &token(one), 2).expect_err("another order");
            assert_eq!(violations[0].field, "page_token", "{one} {other}");
        }
        assert!(page("role", "nonsense", 2).is_err());
        let foreign = page("role", "", 2).expect("a page").page.token_of(b"nonsense");
        assert!(page("role", &foreign, 2).is_err());
    }

    #[test]
    fn a_page_of_large_items_ends_early_and_no_more_than_a_response_is_kept() {
        let list: Vec<_> = (1..=30)
            .map(|number| v1::Key { creator: "c".repeat(500_000), ..key(number) })
            .collect();
        let mut first_items = FirstItems::new(1_000);
        let by_name = page("display_name", "", 1_000).expect("a page");
        for (index, item) in list.iter().enumerate() {
            first_items.insert(by_name.place(item, id(index + 1)), item.clone());
            assert!(first_items.bytes <= MAX_RESPONSE_BYTES + 500_200, "{}", first_items.bytes);
        }
        let (keys, token) = filled(&by_name, &list).expect("few");
        assert_eq!((keys.len(), token.is_empty()), (8, false), "as much as fits");
        assert_eq!(walked("display_name", 1_000, &list), walked("display_name", 3, &list));
        let huge = v1::Key { creator: "c".repeat(MAX_RESPONSE_BYTES), ..key(1) };
        let all = walked("display_name", 1_000, &[key(2), huge, key(3)]);
        assert_eq!(all.len(), 3, "an item that fits no response is a page of its own");
    }

    #[test]
    fn a_long_list_waits_for_its_permit_and_a_longer_one_is_refused() {
        for (rows, waits, is_refused) in [
            (v1::Key::ROWS_PER_READ - 1, 0, false),
            (v1::Key::ROWS_PER_READ, 1, false),
            (MAX_SORTED_ROWS - 1, 1, false),
            (MAX_SORTED_ROWS, 1, true),
        ] {
            let permits = Cell::new(0);
            let permit = async {
                permits.set(permits.get() + 1);
                Ok(())
            };
            let read = |before: KeyId, limit: usize| {
                let end = usize::try_from(before.ulid().0).unwrap_or(usize::MAX).min(rows + 1);
                let rows =
                    (1..end).rev().take(limit).map(|number| (id(number), v1::Key::default()));
                ready(Ok(ListChunk::of_all(rows.collect(), limit)))
            };
            let filled = page("role", "", 1).expect("a page").fill(permit, read).now_or_never();
            let filled: Result<(Vec<v1::Key>, _), Refused> = filled.expect("nothing waits");
            assert_eq!((permits.get(), filled.is_err()), (waits, is_refused), "{rows}");
        }
    }

    #[test]
    fn every_field_of_the_three_lists_is_a_field_of_its_resource() {
        let named = |comment: &str, fields: Vec<&str>| {
            let (_, rest) = comment.split_once("sorted: ").expect("the comment of order_by");
            let (listed, _) = rest.split_once("with").expect("its end");
            let listed: Vec<_> = listed.split('`').skip(1).step_by(2).collect();
            assert_eq!(listed, fields);
        };
        fn names<Item: Sortable>() -> Vec<&'static str> {
            Item::FIELDS.iter().map(|(name, _)| *name).collect()
        }
        let keys = include_str!("../../../../proto/keeptrusts/webhooks/v1/access_service.proto");
        named(keys, names::<v1::Key>());
        let endpoints =
            include_str!("../../../../proto/keeptrusts/webhooks/v1/endpoint_service.proto");
        named(endpoints, names::<v1::Endpoint>());
        let channels =
            include_str!("../../../../proto/keeptrusts/webhooks/v1/notification_service.proto");
        named(channels, names::<v1::Channel>());
    }
}
