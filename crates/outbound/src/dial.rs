//! Tries the addresses of a name one after the other, within the time there is.

use std::future::Future;
use std::net::SocketAddr;

use tokio::time::{Instant, timeout};

use crate::failure::SendFailure;

/// Connects to the first address that accepts.
///
/// Each address may use an equal share of the time that is left, so that one whose packets are
/// dropped does not keep us from the next; what an address does not use, the later ones share.
/// If all fail, the first one's failure is reported: it is the address that everyone would try.
/// `timed_out` says what failure it is if an address has used up its share.
pub(crate) async fn first_to_connect<Connect, Connecting, Stream>(
    addresses: &[SocketAddr],
    deadline: Instant,
    timed_out: impl Fn(SocketAddr) -> SendFailure,
    connect: Connect,
) -> Result<Stream, SendFailure>
where
    Connect: Fn(SocketAddr) -> Connecting,
    Connecting: Future<Output = Result<Stream, SendFailure>>,
{
    let mut first_failure = None;
    let mut addresses_left = addresses.len() as u32;
    for &address in addresses {
        let time_left = deadline.saturating_duration_since(Instant::now());
        let failure = match timeout(time_left / addresses_left, connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(failure)) => failure,
            Err(_) => timed_out(address),
        };
        first_failure.get_or_insert(failure);
        addresses_left -= 1;
    }
    Err(first_failure.unwrap_or(SendFailure::NoAddress))
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(6);

    fn refused(address: SocketAddr) -> SendFailure {
        SendFailure::ConnectionRefused { address: address.into() }
    }

    fn timed_out(address: SocketAddr) -> SendFailure {
        SendFailure::ConnectTimedOut { address: address.into() }
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 443))
    }

    fn addresses(count: u8) -> Vec<SocketAddr> {
        (1..=count).map(address).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_address_that_accepts_is_used() {
        let connected =
            first_to_connect(&addresses(3), Instant::now() + LIMIT, timed_out, async |tried| {
                match tried == address(1) {
                    true => Err(refused(tried)),
                    false => Ok(tried),
                }
            })
            .await;
        assert_eq!(connected, Ok(address(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_uses_up_only_its_share_of_the_time() {
        let started = Instant::now();
        let connected =
            first_to_connect(&addresses(3), started + LIMIT, timed_out, async |tried| {
                match tried == address(1) {
                    true => pending().await,
                    false => Ok(tried),
                }
            })
            .await;
        assert_eq!(connected, Ok(address(2)));
        assert_eq!(started.elapsed(), LIMIT / 3);
    }

    #[tokio::test(start_paused = true)]
    async fn silent_addresses_together_use_no_more_than_the_limit() {
        let started = Instant::now();
        let connected: Result<(), _> =
            first_to_connect(&addresses(4), started + LIMIT, timed_out, async |_| pending().await)
                .await;
        assert_eq!(connected, Err(timed_out(address(1))));
        assert_eq!(started.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_failure_is_the_one_reported() {
        let connected: Result<(), _> =
            first_to_connect(&addresses(2), Instant::now() + LIMIT, timed_out, async |tried| {
                Err(match tried == address(1) {
                    true => refused(tried),
                    false => SendFailure::Unreachable { address: tried.into() },
                })
            })
            .await;
        assert_eq!(connected, Err(refused(address(1))));
    }
}
