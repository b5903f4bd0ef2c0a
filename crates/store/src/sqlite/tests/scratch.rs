use super::*;
use crate::conformance::given::*;
use crate::operation::{BodyId, Operation};
use std::time::Instant;
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use crate::projection::scheduled_deliveries;

#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn scratch_bench() {
    let folder = TempDir::new_in("/work").unwrap();
    let store = open(&folder.path().join("webhooks.db")).await;
    if let Ok(p) = std::env::var("PRAGMAS") { run(&store, &p).await; }
    let size: usize = std::env::var("BATCH").ok().and_then(|s| s.parse().ok()).unwrap_or(256);
    let total = 20_000;
    let endpoint = endpoint_id();
    store.append(SHARD, &[create_endpoint(endpoint)]).await.unwrap();
    let expire = time("2100-01-01T00:00:00Z");
    let cpu = || { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect(); (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0 };
    let mut publish_t = 0.0; let mut sched_t = 0.0; let mut attempt_t = 0.0;
    let mut c = [0.0; 3];
    for _ in 0..total / size {
        let events: Vec<_> = (0..size).map(|_| event_id()).collect();
        let ops: Vec<Operation> = events.iter().map(|id| publish(*id).with_body(BodyId::Event(*id), vec![b'x'; 1024], expire)).collect();
        let (t, k) = (Instant::now(), cpu());
        store.append(SHARD, &ops).await.unwrap();
        publish_t += t.elapsed().as_secs_f64(); c[0] += cpu() - k;
        let ops: Vec<Operation> = events.iter().map(|id| schedule(*id, &[(delivery_id(), endpoint)], &[])).collect();
        let (t, k) = (Instant::now(), cpu());
        let routed = store.append(SHARD, &ops).await.unwrap();
        sched_t += t.elapsed().as_secs_f64(); c[1] += cpu() - k;
        let rows: Vec<Delivery> = routed.records.iter().flat_map(scheduled_deliveries).collect();
        assert_eq!(rows[0].state, DeliveryState::Scheduled);
        let now = rows[0].create_time;
        let ops: Vec<Operation> = rows.iter().map(|row| { let op = succeed(row, now); op.with_body(BodyId::Attempt(attempt_id()), vec![b'y'; 300], expire) }).collect();
        let (t, k) = (Instant::now(), cpu());
        store.append(SHARD, &ops).await.unwrap();
        attempt_t += t.elapsed().as_secs_f64(); c[2] += cpu() - k;
    }
    let n = (total / size * size) as f64;
    println!("batch {size}: publish {:.0}/s schedule {:.0}/s attempt {:.0}/s; all three {:.0}/s; cpu s/1000: {:.3} {:.3} {:.3}", n/publish_t, n/sched_t, n/attempt_t, n/(publish_t+sched_t+attempt_t), c[0]/n*1000.0, c[1]/n*1000.0, c[2]/n*1000.0);
}
