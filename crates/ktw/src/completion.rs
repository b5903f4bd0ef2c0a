//! What shells offer for Tab. A shell calls this program with the words of its line; see `ktw completions`.

use std::ffi::OsStr;
use std::sync::OnceLock;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

/// The variable by which a shell says that it wants completions, and which shell it is.
pub(crate) const VARIABLE: &str = "KTW_COMPLETE";

/// What an argument takes, of which there are some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Endpoint,
    Channel,
    Replay,
    EventType,
    Profile,
}

/// A value that is offered, and what it is.
pub(crate) type Offer = (String, String);

/// All offers of a kind; the flag: nothing is typed yet.
type Source = fn(Kind, bool) -> Vec<Offer>;

/// It needs the whole command line, which needs the functions here.
static SOURCE: OnceLock<Source> = OnceLock::new();

/// Says where offers come from, once.
pub(crate) fn set_source(source: Source) {
    SOURCE.get_or_init(|| source);
}

pub(crate) fn endpoints() -> ArgValueCompleter {
    completer(Kind::Endpoint)
}

pub(crate) fn channels() -> ArgValueCompleter {
    completer(Kind::Channel)
}

pub(crate) fn replays() -> ArgValueCompleter {
    completer(Kind::Replay)
}

pub(crate) fn event_types() -> ArgValueCompleter {
    completer(Kind::EventType)
}

pub(crate) fn profiles() -> ArgValueCompleter {
    completer(Kind::Profile)
}

fn completer(kind: Kind) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| {
        let typed = typed.to_string_lossy();
        let offers = SOURCE.get().map(|source| source(kind, typed.is_empty()));
        let offers = offers.into_iter().flatten().filter(|(value, _)| value.starts_with(&*typed));
        offers
            .map(|(value, about)| CompletionCandidate::new(value).help(Some(about.into())))
            .collect::<Vec<_>>()
    })
}
