use super::*;

const ROW: ShardRow = ShardRow {
    last_position: 7,
    checkpoint: 7,
    epoch: 3,
    steady_time: Some(1_000_000),
    steady_time_noted_at: Some(2_000_000),
    last_record: Some(7),
};

#[test]
fn a_sound_row_is_the_shards_state() {
    let state = ROW.judge(5_000_000).expect("is sound");
    assert_eq!((state.last_position, state.checkpoint), (Position(7), Position(7)));
    assert_eq!(state.epoch, Epoch(3));
    let steady = state.steady.expect("is there");
    assert_eq!((steady.time.as_second(), steady.age), (1, Duration::from_secs(3)));
    let set_back = ROW.judge(0).expect("is sound").steady.expect("is there");
    assert_eq!(set_back.age, Duration::ZERO, "the database's clock was set back");
    let empty = ShardRow {
        last_position: 0,
        checkpoint: 0,
        epoch: 0,
        steady_time: None,
        steady_time_noted_at: None,
        last_record: None,
    };
    assert_eq!(empty.judge(0).expect("is sound").steady, None);
}

#[test]
fn an_impossible_row_is_named_by_its_column() {
    let named = |row: ShardRow| row.judge(5_000_000).expect_err("is damaged").to_string();
    for (row, expected) in [
        (
            ShardRow { checkpoint: 8, ..ROW },
            "checkpoint is 8 in its row of shards, but last_position is 7",
        ),
        (
            ShardRow { checkpoint: -1, ..ROW },
            "checkpoint is -1 in its row of shards, which cannot be",
        ),
        (ShardRow { epoch: i64::MAX, ..ROW }, "epoch is 9223372036854775807 in its row"),
        (
            ShardRow { last_record: None, ..ROW },
            "last_position is 7 in its row of shards, but the last record is 0",
        ),
        (ShardRow { steady_time: Some(-1), ..ROW }, "steady_time is -1 in its row"),
        (ShardRow { steady_time: Some(i64::MAX), ..ROW }, "steady_time is 9223372036854775807"),
        (
            ShardRow { steady_time_noted_at: Some(i64::MIN), ..ROW },
            "steady_time_noted_at is -9223372036854775808",
        ),
    ] {
        assert!(named(row).contains(expected), "{}", named(row));
    }
}
