//! Tries addresses one after the other within a time limit.

use std::net::SocketAddr;

use tokio::time::Instant;

use crate::failure::SendFailure;

/// Connects to the first address where `connect` succeeds.
///
/// Each address gets an equal share of the time that is left, so that one whose packets are dropped
/// leaves time for the next. What an address does not use, the later ones share. `connect` keeps
/// to its deadline. If all fail, the failure at the latest stage is reported, because it says most:
/// an expired certificate rather than an address without a route. Of several, the first is.
///
/// A failure that would be the same at every address is reported at once: that we have no socket
/// left, or that the receiver wants HTTP/1.1.
pub(crate) async fn first_to_connect<Connect, Connecting, Stream>(
    addresses: &[SocketAddr],
    deadline: Instant,
    mut connect: Connect,
) -> Result<Stream, SendFailure>
where
    Connect: FnMut(SocketAddr, Instant) -> Connecting,
    Connecting: Future<Output = Result<Stream, SendFailure>>,
{
    let mut reported: Option<SendFailure> = None;
    let mut addresses_left = addresses.len() as u32;
    for &address in addresses {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / addresses_left;
        match connect(address, now + share).await {
            Ok(opened) => return Ok(opened),
            Err(failure @ (SendFailure::OutOfSockets | SendFailure::Http1Wanted)) => {
                return Err(failure);
            }
            Err(failure) => {
                let is_first = reported.as_ref().is_none_or(|r| failure.stage() > r.stage());
                if is_first {
                    reported = Some(failure);
                }
            }
        }
        addresses_left -= 1;
    }
    Err(reported.unwrap_or(SendFailure::NoAddress))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep_until;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(6);

    fn refused(address: SocketAddr) -> SendFailure {
        SendFailure::ConnectionRefused { address: address.into() }
    }

    fn timed_out(address: SocketAddr) -> SendFailure {
        SendFailure::ConnectTimedOut { address: address.into() }
    }

    /// An address that never answers.
    async fn silent(address: SocketAddr, deadline: Instant) -> Result<SocketAddr, SendFailure> {
        sleep_until(deadline).await;
        Err(timed_out(address))
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
            first_to_connect(&addresses(3), Instant::now() + LIMIT, async |tried, _| {
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
        let connected = first_to_connect(&addresses(3), started + LIMIT, async |tried, until| {
            match tried == address(1) {
                true => silent(tried, until).await,
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
        let connected = first_to_connect(&addresses(4), started + LIMIT, silent).await;
        assert_eq!(connected, Err(timed_out(address(1))));
        assert_eq!(started.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lack_of_sockets_is_reported_whatever_the_earlier_addresses_failed_with() {
        let mut tried = 0;
        let connected: Result<(), _> =
            first_to_connect(&addresses(3), Instant::now() + LIMIT, |address, _| {
                tried += 1;
                std::future::ready(Err(match tried {
                    1 => refused(address),
                    _ => SendFailure::OutOfSockets,
                }))
            })
            .await;
        assert_eq!((connected, tried), (Err(SendFailure::OutOfSockets), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_failure_at_the_latest_stage_is_reported() {
        let failures = [
            refused(address(1)),
            SendFailure::Unreachable { address: address(2).into() },
            SendFailure::TlsTimedOut,
            SendFailure::Http2NotBegun,
        ];
        for (count, expected) in [(1, 0), (2, 0), (3, 2), (4, 2)] {
            let deadline = Instant::now() + LIMIT;
            let connected: Result<(), _> =
                first_to_connect(&addresses(count), deadline, async |tried, _| {
                    let index = addresses(count).iter().position(|address| *address == tried);
                    Err(failures[index.expect("one of them")].clone())
                })
                .await;
            assert_eq!(connected, Err(failures[expected].clone()));
        }
    }
}
