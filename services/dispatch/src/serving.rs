//! Runs dispatch in a process that serves: the work on shards, and the API.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_process::service_process::ServiceProcess;
use keeptrusts_webhooks_store::new_ulid;

use crate::Dispatch;
use crate::api::DispatchApi;
use crate::flags::PreparedDispatch;

impl PreparedDispatch {
    /// Begins to own shards of the process's database, and adds the API to its services. The work
    /// ends with the process.
    pub fn serve_in(self, process: ServiceProcess) -> ServiceProcess {
        let retention = self.body_retention();
        let dispatch =
            Dispatch::start(member_name(), self.dependencies(process.database(), process.clock()));
        dispatch.needed_by(process.readiness());
        let (log, closing) = (process.log(), process.closing());
        let api = DispatchApi::server(log, process.clock(), retention, closing);
        process.service(api).background_work(|left| dispatch.stop(left))
    }
}

/// A unique name for this process among those that share a database, readable in `dispatch_members`
/// and in logs.
fn member_name() -> String {
    let unique = new_ulid(Timestamp::now());
    format!("dispatch-{}-{unique}", std::process::id())
}
