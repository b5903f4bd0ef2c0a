//! Counts with the right form of their noun, for messages to people.

use std::fmt::Display;

/// `1 delivery`, `40 deliveries`, `0 deliveries`.
pub fn pluralize<Count>(count: Count, one: &str, many: &str) -> String
where
    Count: Display + PartialEq + From<u8>,
{
    let things = if count == Count::from(1) { one } else { many };
    format!("{count} {things}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let deliveries = |count: i64| pluralize(count, "delivery", "deliveries");
        assert_eq!(deliveries(0), "0 deliveries");
        assert_eq!(deliveries(1), "1 delivery");
        assert_eq!(deliveries(11), "11 deliveries");
    }
}
