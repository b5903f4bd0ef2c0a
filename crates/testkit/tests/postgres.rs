//! The life of temporary clusters, and their end with the test.
#![allow(clippy::print_stdout, reason = "a test is read by whoever runs it")]

use std::path::Path;
use std::time::Duration;

use keeptrusts_webhooks_testkit::postgres::Cluster;
use keeptrusts_webhooks_testkit::process::Launch;
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(30);

async fn is_reachable(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

#[tokio::test]
async fn a_cluster_comes_back_with_its_data_on_its_port() {
    let cluster = Cluster::builder().fsync(false).create().await;
    let url = cluster.create_database("orders").await;
    assert_eq!(url, format!("postgres://postgres@127.0.0.1:{}/orders", cluster.port()));
    cluster.query("orders", "CREATE TABLE t AS SELECT 42 AS answer").await;

    cluster.stop().await;
    assert!(!is_reachable(cluster.port()).await);
    cluster.start().await;
    assert_eq!(cluster.query("orders", "SELECT answer FROM t").await, "42\n");

    cluster.query("orders", "UPDATE t SET answer = 43").await;
    cluster.kill().await;
    assert!(!is_reachable(cluster.port()).await);
    cluster.start().await;
    assert_eq!(cluster.query("orders", "SELECT answer FROM t").await, "43\n");
}

#[tokio::test]
async fn commits_wait_for_the_disk_unless_told_otherwise() {
    let cluster = Cluster::builder().setting("max_connections", "20").create().await;
    assert_eq!(cluster.query("postgres", "SHOW fsync").await, "on\n");
    assert_eq!(cluster.query("postgres", "SHOW max_connections").await, "20\n");
    let shared = Cluster::shared().await;
    assert_eq!(shared.query("postgres", "SHOW fsync").await, "off\n");
}

#[tokio::test]
async fn the_shared_cluster_is_one() {
    let (one, other) = tokio::join!(Cluster::shared(), Cluster::shared());
    assert_eq!(one.port(), other.port());
    one.create_database("the_shared_cluster_is_one").await;
}

#[tokio::test]
async fn a_dropped_cluster_leaves_nothing() {
    let cluster = Cluster::builder().fsync(false).create().await;
    let directory = cluster.query("postgres", "SHOW unix_socket_directories").await;
    let port = cluster.port();
    drop(cluster);
    assert!(!is_reachable(port).await);
    assert!(!Path::new(directory.trim()).exists());
}

#[tokio::test]
#[should_panic(expected = "syntax error")]
async fn failing_sql_fails_the_test_with_postgress_error() {
    Cluster::shared().await.query("postgres", "SELEKT").await;
}

/// Not a test of its own: what the next one kills.
#[tokio::test]
#[ignore = "run by a_cluster_ends_with_a_test_that_is_killed"]
async fn a_test_that_is_going_to_be_killed() {
    let cluster = Cluster::shared().await;
    let directory = cluster.query("postgres", "SHOW unix_socket_directories").await;
    println!("\ncluster {} {directory}", cluster.port());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_cluster_ends_with_a_test_that_is_killed() {
    let mut test = Launch::program(std::env::current_exe().expect("the running test has a path"))
        .args(["--ignored", "--nocapture", "--exact", "a_test_that_is_going_to_be_killed"])
        .start();
    let line = test.wait_for_line(|line| line.starts_with("cluster "), SOON).await;
    let [_, port, directory] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("unexpected line: {line}");
    };
    let port: u16 = port.parse().expect("it is a port");
    assert!(is_reachable(port).await);

    test.kill().await;
    let gone = async {
        while is_reachable(port).await || Path::new(directory).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("the cluster ends and is removed");
}
