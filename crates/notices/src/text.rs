//! Text that must fit.

/// At most so many characters; what is cut off is told by an ellipsis.
pub(crate) fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let kept = text.chars().take(max_chars.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// Lines joined to texts of at most so many characters each, so that no line is torn apart.
pub(crate) fn chunks(lines: &[String], max_chars: usize) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    for line in lines {
        let line = cut(line, max_chars);
        let length = line.chars().count();
        match chunks.last_mut() {
            Some(last) if last.chars().count() + 1 + length <= max_chars => {
                last.push('\n');
                last.push_str(&line);
            }
            _ => chunks.push(line),
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(cut("häuser", 6), "häuser");
        assert_eq!(cut("häuser", 4), "häu…");
    }

    #[test]
    fn lines_are_kept_whole_and_in_order() {
        let lines = ["aaaa", "bb", "cccccc", "dddddddddd"].map(str::to_owned);
        assert_eq!(chunks(&lines, 7), ["aaaa\nbb", "cccccc", "dddddd…"]);
        assert!(chunks(&[], 7).is_empty());
    }
}
