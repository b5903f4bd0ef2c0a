//! A lane for each holder, in which so many may be at once; the others of the same holder wait, in
//! the order in which they came. Nobody waits for another holder.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The holders that are remembered; those whose lane is empty are forgotten first.
const MAX_HOLDERS: usize = 100_000;

/// The lanes, all of one width.
#[derive(Debug)]
pub struct Lanes<H> {
    width: u32,
    holders: Mutex<HashMap<H, Arc<Semaphore>>>,
}

/// A part of a lane's width. Dropping it lets the next one in.
#[derive(Debug)]
pub struct InLane(#[expect(dead_code, reason = "held")] Option<OwnedSemaphorePermit>);

impl<H: Clone + Eq + Hash> Lanes<H> {
    /// Lanes without anybody in them.
    pub fn new(width: u32) -> Lanes<H> {
        Lanes { width, holders: Mutex::default() }
    }

    /// Takes so much of the width of the holder's lane (all of it, if that is less), as soon as
    /// whoever came before has left.
    pub async fn enter(&self, holder: &H, width: u32) -> InLane {
        let lane = self.of(holder);
        // Nobody closes it.
        InLane(lane.acquire_many_owned(width.min(self.width)).await.ok())
    }

    fn of(&self, holder: &H) -> Arc<Semaphore> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = holders.get(holder) {
            return Arc::clone(lane);
        }
        if holders.len() >= MAX_HOLDERS {
            holders.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        let lane = Arc::new(Semaphore::new(self.width as usize));
        holders.insert(holder.clone(), Arc::clone(&lane));
        lane
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_waits_for_the_same_holder_only_and_in_order() {
        const A_WHILE: Duration = Duration::from_secs(60);
        let lanes = Lanes::new(4);
        let first = lanes.enter(&"busy", 3).await;
        assert!(timeout(A_WHILE, lanes.enter(&"busy", 2)).await.is_err(), "there is room for one");
        let _other = timeout(A_WHILE, lanes.enter(&"other", 4)).await.expect("nobody is before it");

        let wide = lanes.enter(&"busy", 1_000);
        tokio::pin!(wide);
        assert!(timeout(A_WHILE, &mut wide).await.is_err());
        // It would find room, but came later.
        assert!(timeout(A_WHILE, lanes.enter(&"busy", 1)).await.is_err());
        drop(first);
        let wide = timeout(A_WHILE, wide).await.expect("all of the lane is free");
        assert!(timeout(A_WHILE, lanes.enter(&"busy", 1)).await.is_err());
        drop(wide);
        timeout(A_WHILE, lanes.enter(&"busy", 1)).await.expect("there is room again");
    }
}
