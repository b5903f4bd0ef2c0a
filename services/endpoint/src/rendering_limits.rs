//! The limits of previews and template checks.

use std::time::Duration;

/// Previews and checks of one organization that may wait to be rendered.
pub(crate) const MAX_WAITING: usize = 16;
/// The resource's name in the metric of refused requests.
pub(crate) const METRIC_NAME: &str = "renderings";
/// When a refused caller may try again.
pub(crate) const RETRY_DELAY: Duration = Duration::from_secs(1);
