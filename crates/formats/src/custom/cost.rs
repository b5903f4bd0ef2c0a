//! Charges templates steps for what they read and make, and stops a rendering that is interrupted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use minijinja::value::Object;
use minijinja::{Error, ErrorKind, State};

use super::limits::MAX_CUSTOM_BODY_BYTES;

/// Reading or copying this many bytes costs one step, as in the engine.
const BYTES_PER_STEP: usize = 64;
/// Writing this many bytes of JSON costs one step, as in the engine.
const JSON_BYTES_PER_STEP: usize = 4;

/// The variable that holds the [`Rendering`]. No template can name it.
pub(super) const RENDERING: &str = "this rendering";

/// Stops a rendering from outside: because it takes too long, or because nobody waits for it. Clones
/// share the flag.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Stops the rendering at its next step that reads or makes anything.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// State that the filters and operators of one rendering share.
#[derive(Debug, Default)]
pub(super) struct Rendering {
    pub(super) interrupt: Interrupt,
    printed: AtomicUsize,
}

impl Rendering {
    pub(super) fn new(interrupt: Interrupt) -> Rendering {
        Rendering { interrupt, printed: AtomicUsize::new(0) }
    }

    /// Counts printed bytes. Returns whether they are within the limit.
    pub(super) fn print(&self, bytes: usize) -> bool {
        let before = self.printed.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) <= MAX_CUSTOM_BODY_BYTES
    }

    /// Fails if the rendering is interrupted.
    pub(super) fn go_on(&self) -> Result<(), Error> {
        match self.interrupt.is_raised() {
            true => Err(Error::new(ErrorKind::InvalidOperation, "it was interrupted")),
            false => Ok(()),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.printed.load(Ordering::Relaxed) > MAX_CUSTOM_BODY_BYTES
    }
}

impl Object for Rendering {}

pub(super) fn rendering(state: &State<'_, '_>) -> Result<Arc<Rendering>, Error> {
    let rendering = state.lookup(RENDERING).and_then(|value| value.downcast_object());
    rendering.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "outside of a rendering"))
}

/// Charges for bytes, before they are read.
pub(super) fn charge(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    pay(state, bytes / BYTES_PER_STEP)
}

pub(super) fn charge_json(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    pay(state, bytes / JSON_BYTES_PER_STEP)
}

/// Charges steps. Zero steps are ignored: the engine's own steps limit how often that happens.
pub(super) fn pay(state: &State<'_, '_>, steps: usize) -> Result<(), Error> {
    if steps == 0 {
        return Ok(());
    }
    rendering(state)?.go_on()?;
    state.consume_fuel(steps as u64)
}

/// Charges for many small items, in batches.
pub(super) struct Meter<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    unpaid: usize,
}

/// An item costs as much as this many bytes, as in the engine.
const ITEM_BYTES: usize = 32;
/// Bytes are charged once there are this many.
const UNPAID_BYTES: usize = 4 * 1024;

impl<'a, 'b, 'c> Meter<'a, 'b, 'c> {
    pub(super) fn new(state: &'a State<'b, 'c>) -> Meter<'a, 'b, 'c> {
        Meter { state, unpaid: 0 }
    }

    /// Charges for an item, and for the bytes of it that are read or made.
    pub(super) fn item(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes(bytes.saturating_add(ITEM_BYTES))
    }

    pub(super) fn bytes(&mut self, bytes: usize) -> Result<(), Error> {
        self.unpaid = self.unpaid.saturating_add(bytes);
        if self.unpaid >= UNPAID_BYTES {
            charge(self.state, std::mem::take(&mut self.unpaid))?;
        }
        Ok(())
    }

    /// Charges for the rest.
    pub(super) fn finish(self) -> Result<(), Error> {
        charge(self.state, self.unpaid)
    }
}
