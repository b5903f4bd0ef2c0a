//! What a person, or a screen reader, takes an element for.

use std::fmt;

/// What an element is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Does something when it is pressed.
    Button,
    /// Leads somewhere.
    Link,
    /// An entry of a menu.
    MenuItem,
    /// The title of a page or of a part of it.
    Heading,
    /// Can be ticked.
    Checkbox,
    /// One choice of several.
    Radio,
    /// Takes text, a time or a choice from a list.
    Field,
}

impl Role {
    /// Where such elements are looked for.
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

    /// Whether the browser gives it to assistive technology as such (WAI-ARIA's names, and
    /// Chromium's own for what has none there).
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
