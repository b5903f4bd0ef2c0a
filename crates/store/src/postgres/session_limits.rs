//! How long sessions wait, and how every session is set up.

use std::time::Duration;

/// How much longer than the server we wait.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// The time limits of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionLimits {
    /// Of a statement. The server ends it then.
    pub(super) statement: Duration,
    /// Of the wait for one lock. The statement fails then.
    pub(super) lock: Duration,
    /// How long the server waits for a client that is idle in a transaction or does not answer.
    pub(super) peer: Duration,
    /// How long we wait for an answer before we give the connection up. Above the server's own
    /// limit, so that the server reports the timeout unless it is gone.
    pub(super) answer: Duration,
}

impl SessionLimits {
    pub(super) fn of(statement: Duration) -> SessionLimits {
        SessionLimits {
            statement,
            lock: statement * 2 / 5,
            peer: statement,
            answer: statement + ANSWER_MARGIN,
        }
    }

    /// Sets a session up; settings that a server does not know are left out. The last statement
    /// answers with whether the session can only read.
    ///
    /// - Commits are durable when they are answered: never less than `on`, whatever the server's or
    ///   the user's default. (`fsync` is the server's own, and must be on.)
    /// - Batches of a shard see what the batch before has committed: they wait for the shard's row
    ///   and then read, so each statement needs a snapshot of its own.
    /// - A client that hangs does not hold a shard for long: neither one that is idle in a
    ///   transaction nor one whose machine is gone, which keep-alive and unacknowledged data reveal.
    /// - Every statement has an index. Plans are cached, and tables grow faster than their statistics
    ///   are updated: a plan made for a small table must not scan all of it once it is large. (The
    ///   penalty on such scans would make them look worth compiling, so `jit` is off.)
    pub(super) fn settings(&self) -> String {
        let millis = |time: Duration| time.as_millis().max(1);
        // The first probe after two intervals without traffic, then three probes.
        let interval = millis(self.peer / 5).div_ceil(1_000);
        format!(
            "SELECT set_config(wanted.name, wanted.value, false)
             FROM (VALUES
                 ('synchronous_commit', CASE current_setting('synchronous_commit')
                                            WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END),
                 ('default_transaction_isolation', 'read committed'),
                 ('statement_timeout', '{statement}ms'),
                 ('lock_timeout', '{lock}ms'),
                 ('idle_in_transaction_session_timeout', '{peer}ms'),
                 ('transaction_timeout', '{transaction}ms'),
                 ('tcp_keepalives_idle', '{idle}s'),
                 ('tcp_keepalives_interval', '{interval}s'),
                 ('tcp_keepalives_count', '3'),
                 ('tcp_user_timeout', '{peer}ms'),
                 ('enable_seqscan', 'off'),
                 ('jit', 'off')
             ) AS wanted (name, value)
             JOIN pg_settings USING (name);
             SELECT current_setting('transaction_read_only')",
            statement = millis(self.statement),
            lock = millis(self.lock),
            peer = millis(self.peer),
            // Of several statements.
            transaction = millis(self.peer * 3 / 2),
            idle = 2 * interval,
        )
    }
}
