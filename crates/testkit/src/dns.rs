//! A DNS server with scripted answers, which may change from query to query.
//!
//! It speaks UDP and, for answers that are too long for that, TCP. It has its own thread and runtime,
//! like the receivers.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;

/// The longest UDP datagram that no network fragments (DNS flag day 2020). A longer answer is sent
/// truncated, and asked for again by TCP.
const MAX_UDP_ANSWER: usize = 1232;

/// The records of a name, with a time to live of 0.
#[derive(Clone, Debug, Default)]
pub struct DnsAnswer {
    aliases: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl DnsAnswer {
    /// These addresses, in this order; IPv4 ones for A queries, IPv6 ones for AAAA queries.
    pub fn addresses<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Self {
        let parse = |address: &str| address.parse().expect("an IP address");
        Self { aliases: Vec::new(), addresses: addresses.into_iter().map(parse).collect() }
    }

    /// Adds an alias (CNAME); several make a chain.
    pub fn by_alias(mut self, name: &str) -> Self {
        self.aliases.push(name.to_owned());
        self
    }
}

/// Gets the name (in lower case, without a dot at the end) and the number of earlier queries for it.
/// `None`: there is no such name.
type DnsScript = dyn Fn(&str, usize) -> Option<DnsAnswer> + Send + Sync;

struct Shared {
    script: Box<DnsScript>,
    asked: Mutex<HashMap<(Name, RecordType), usize>>,
}

/// A running server; it ends when dropped.
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DnsServer {
    /// Starts a server on a free port of 127.0.0.1. A and AAAA queries are counted separately.
    pub fn start(
        script: impl Fn(&str, usize) -> Option<DnsAnswer> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared { script: Box::new(script), asked: Mutex::default() });
        let (udp, tcp) = sockets();
        let address = udp.local_addr().expect("a socket has an address");
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve(udp, tcp, shared, stopped)
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of A queries for a name.
    pub fn query_count(&self, name: &str) -> usize {
        let name = Name::from_ascii(format!("{name}.")).expect("a name");
        self.shared.lock().get(&(name, RecordType::A)).copied().unwrap_or_default()
    }

    /// Without a dot at the end.
    pub fn queried_names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.shared.lock().keys().map(|(name, _)| without_dot(name)).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed by its thread.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(Name, RecordType), usize>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: the message cannot be answered.
    fn answer(&self, message: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
        let request = Message::from_vec(message).ok()?;
        let query = request.queries.first()?.clone();
        let mut response = Message::response(request.metadata.id, OpCode::Query);
        response.metadata.recursion_desired = request.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        response.add_query(query.clone());
        let key = (query.name().to_lowercase(), query.query_type());
        // A query that is repeated by TCP gets the same answer.
        let query_count = self.lock().get(&key).copied().unwrap_or_default();
        let turn = query_count.saturating_sub(usize::from(by_tcp));
        match (self.script)(&without_dot(&key.0), turn) {
            Some(answer) => {
                response.add_answers(records(&query, &answer));
            }
            None => response.metadata.response_code = ResponseCode::NXDomain,
        }
        self.lock().insert(key, turn + 1);
        let encoded = response.to_vec().expect("a response can be encoded");
        if by_tcp || encoded.len() <= MAX_UDP_ANSWER {
            return Some(encoded);
        }
        Some(response.truncate().to_vec().expect("a response can be encoded"))
    }
}

fn without_dot(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

fn records(query: &Query, answer: &DnsAnswer) -> Vec<Record> {
    const NOT_TO_BE_KEPT: u32 = 0;
    let mut records = Vec::new();
    let mut owner = query.name().clone();
    for alias in &answer.aliases {
        let alias = Name::from_ascii(format!("{alias}.")).expect("a name");
        let data = RData::CNAME(CNAME(alias.clone()));
        records.push(Record::from_rdata(owner, NOT_TO_BE_KEPT, data));
        owner = alias;
    }
    for address in &answer.addresses {
        let data = RData::from(*address);
        if data.record_type() == query.query_type() {
            records.push(Record::from_rdata(owner.clone(), NOT_TO_BE_KEPT, data));
        }
    }
    records
}

/// A UDP and a TCP socket with the same port.
fn sockets() -> (std::net::UdpSocket, std::net::TcpListener) {
    for _ in 0..100 {
        let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = udp.local_addr().expect("a socket has an address");
        if let Ok(tcp) = std::net::TcpListener::bind(address) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

/// Serves until the other end of `stopped` is dropped.
fn serve(
    udp: std::net::UdpSocket,
    tcp: std::net::TcpListener,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        udp.set_nonblocking(true).expect("a socket can be made non-blocking");
        tcp.set_nonblocking(true).expect("a socket can be made non-blocking");
        let udp = UdpSocket::from_std(udp).expect("the socket is fit");
        let tcp = TcpListener::from_std(tcp).expect("the listener is fit");
        tokio::select! {
            () = answer_datagrams(udp, &shared) => {}
            () = accept(tcp, &shared) => {}
            _ = stopped => {}
        }
    });
}

async fn answer_datagrams(socket: UdpSocket, shared: &Shared) {
    let by_tcp = false;
    let mut datagram = [0; MAX_UDP_ANSWER];
    loop {
        // Receiving fails when an earlier answer met a closed port.
        let Ok((length, asker)) = socket.recv_from(&mut datagram).await else { continue };
        if let Some(answer) = shared.answer(&datagram[..length], by_tcp) {
            let _ = socket.send_to(&answer, asker).await;
        }
    }
}

async fn accept(listener: TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((connection, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(shared);
        // Ends when the asker hangs up.
        tokio::spawn(async move { answer_stream(connection, &shared).await });
    }
}

/// By TCP each message follows its length (RFC 1035 section 4.2.2).
async fn answer_stream(mut connection: TcpStream, shared: &Shared) -> io::Result<()> {
    let by_tcp = true;
    loop {
        let length = connection.read_u16().await?;
        let mut message = vec![0; usize::from(length)];
        connection.read_exact(&mut message).await?;
        let Some(answer) = shared.answer(&message, by_tcp) else { return Ok(()) };
        let length = u16::try_from(answer.len()).expect("an answer is at most 64 KiB");
        connection.write_u16(length).await?;
        connection.write_all(&answer).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use super::*;

    fn query(name: &str) -> Vec<u8> {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
        message.to_vec().expect("a query can be encoded")
    }

    fn by_udp(server: &DnsServer, name: &str) -> Message {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit can be set");
        socket.send_to(&query(name), server.address()).expect("a query can be sent");
        let mut answer = [0; MAX_UDP_ANSWER];
        let length = socket.recv(&mut answer).expect("an answer comes");
        Message::from_vec(&answer[..length]).expect("an answer")
    }

    fn by_tcp(server: &DnsServer, name: &str) -> Message {
        let mut stream = std::net::TcpStream::connect(server.address()).expect("it listens");
        let query = query(name);
        let length = u16::try_from(query.len()).expect("a short query");
        stream.write_all(&[&length.to_be_bytes()[..], &query].concat()).expect("it can be sent");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("a length comes");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).expect("an answer comes");
        Message::from_vec(&answer).expect("an answer")
    }

    #[test]
    fn the_script_sees_how_often_a_name_has_been_asked_for() {
        let server = DnsServer::start(|name, query_count| {
            let address = format!("192.0.2.{query_count}");
            (name == "a.example").then(|| DnsAnswer::addresses([address.as_str()]).by_alias("b.c"))
        });
        for turn in 0..3 {
            let answer = by_udp(&server, "A.example.");
            let addresses: Vec<_> =
                answer.answers.iter().filter_map(|record| record.data.ip_addr()).collect();
            assert_eq!(addresses, [IpAddr::from([192, 0, 2, turn])]);
            assert_eq!(answer.answers[0].record_type(), RecordType::CNAME);
        }
        let nothing = by_udp(&server, "b.example.");
        assert_eq!(nothing.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!((server.query_count("a.example"), server.query_count("b.example")), (3, 1));
        assert_eq!(server.queried_names(), ["a.example", "b.example"]);
    }

    #[test]
    fn a_long_answer_is_truncated_and_whole_by_tcp() {
        let server = DnsServer::start(|_, query_count| {
            assert_eq!(query_count, 0, "it is one question");
            Some(DnsAnswer::addresses(vec!["192.0.2.1"; 500]))
        });
        let truncated = by_udp(&server, "a.example.");
        assert!(truncated.metadata.truncation && truncated.answers.is_empty());
        assert_eq!(by_tcp(&server, "a.example.").answers.len(), 500);
    }
}
