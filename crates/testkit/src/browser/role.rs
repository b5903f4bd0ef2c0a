//! The roles of elements.

use std::fmt;

/// The role of an element, as a person or a screen reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Button,
    Link,
    MenuItem,
    Heading,
    Checkbox,
    Radio,
    /// Takes text, a time or a choice from a list.
    Field,
}

impl Role {
    /// CSS selectors of candidates.
    pub(super) fn selectors(self) -> &'static [&'static str] {
        match self {
            Self::Button => &["button", "summary", "input[type=submit]", "[role=button]"],
            Self::Link => &["a[href]"],
            Self::MenuItem => &["[role=menuitem]"],
            Self::Heading => &["h1", "h2", "h3", "h4"],
            Self::Checkbox => &["input[type=checkbox]"],
            Self::Radio => &["input[type=radio]"],
            Self::Field => &[
                "input:not([type=hidden], [type=checkbox], [type=radio], [type=submit])",
                "select",
                "textarea",
            ],
        }
    }

    /// Whether a computed role is this one (WAI-ARIA's names, and Chromium's own where there is none).
    pub(super) fn is(self, computed: &str) -> bool {
        match self {
            Self::Button => matches!(computed, "button" | "DisclosureTriangle"),
            Self::Link => computed == "link",
            Self::MenuItem => computed == "menuitem",
            Self::Heading => computed == "heading",
            Self::Checkbox => computed == "checkbox",
            Self::Radio => computed == "radio",
            Self::Field => !matches!(computed, "" | "none" | "generic"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Button => "button",
            Self::Link => "link",
            Self::MenuItem => "menu item",
            Self::Heading => "heading",
            Self::Checkbox => "checkbox",
            Self::Radio => "radio button",
            Self::Field => "field",
        })
    }
}
