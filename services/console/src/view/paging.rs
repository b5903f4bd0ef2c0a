//! Newer and older pages of a list that is read by cursor.
//!
//! A cursor leads only onwards, so a page's address carries the cursors of the pages before it.

use form_urlencoded::Serializer;

/// Between the cursors of the pages before.
const SEPARATOR: char = '~';
/// Limits the address. Beyond it, going back leads to the first page.
const MAX_TRAIL: usize = 20;

/// A page's position in the list, as its address has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PagePosition {
    /// This page's cursor; empty on the first page.
    pub(crate) page: String,
    /// The cursors of the pages between the first one and this one.
    pub(crate) trail: String,
}

/// Links to the pages beside this one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paging {
    pub(crate) newer: Option<String>,
    pub(crate) older: Option<String>,
}

impl Paging {
    /// `path` is the list's address and `parameters` its filters; `next` is the cursor of the next
    /// page, empty if there is none; `anchor` is the element to jump to, or empty.
    pub(crate) fn new(
        path: &str,
        parameters: &[(&str, &str)],
        position: &PagePosition,
        next: &str,
        anchor: &str,
    ) -> Paging {
        let link = |page: &str, trail: &[&str]| {
            let trail = trail.join(&SEPARATOR.to_string());
            let parameters = parameters.iter().copied().chain([("page", page), ("trail", &trail)]);
            format!("{}{anchor}", address(path, parameters))
        };
        let before: Vec<&str> =
            position.trail.split(SEPARATOR).filter(|cursor| !cursor.is_empty()).collect();
        let newer = (!position.page.is_empty()).then(|| match before.split_last() {
            Some((last, others)) => link(last, others),
            None => link("", &[]),
        });
        let older = (!next.is_empty()).then(|| {
            let mut trail = before;
            trail.extend(Some(position.page.as_str()).filter(|page| !page.is_empty()));
            let skip = trail.len().saturating_sub(MAX_TRAIL);
            link(next, &trail[skip..])
        });
        Paging { newer, older }
    }
}

/// A path with the parameters that have a value.
pub(crate) fn address<'a>(
    path: &str,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters.into_iter().filter(|(_, value)| !value.is_empty()));
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(page: &str, trail: &str, next: &str) -> (Option<String>, Option<String>) {
        let position = PagePosition { page: page.to_owned(), trail: trail.to_owned() };
        let Paging { newer, older } =
            Paging::new("/events", &[("q", "a&b")], &position, next, "#log");
        (newer, older)
    }

    fn link(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_list_of_one_page_has_no_links() {
        assert_eq!(paging("", "", ""), (None, None));
    }

    #[test]
    fn paging_back_follows_the_way_forward() {
        assert_eq!(paging("", "", "A"), (None, link("/events?q=a%26b&page=A#log")));
        assert_eq!(
            paging("A", "", "B"),
            (link("/events?q=a%26b#log"), link("/events?q=a%26b&page=B&trail=A#log"))
        );
        assert_eq!(
            paging("B", "A", "C"),
            (link("/events?q=a%26b&page=A#log"), link("/events?q=a%26b&page=C&trail=A%7EB#log"))
        );
        assert_eq!(paging("C", "A~B", ""), (link("/events?q=a%26b&page=B&trail=A#log"), None));
    }
}
