//! `quorate proxy`: a node without data, which knows who holds what and asks them. Applications on its machine
//! have the cluster one hop away, and none of them needs to know the members.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use quorate::driver::{EventLoop, Wait};

use super::choices::LogLevel;
use super::exit::{CANNOT_CONNECT, Failure};
use super::node;
use super::settings::{NodeArguments, Role};

/// How long the members may take to be found.
const MEETING_MAX: Duration = Duration::from_secs(30);

/// What `quorate proxy` can be told.
#[derive(clap::Args)]
pub struct ProxyArguments {
    /// Where members of the cluster serve peers; several may be tried: HOST:PORT,…
    #[arg(long, env = "QUORATE_JOIN", value_name = "LIST")]
    join: String,
    /// Where to serve Redis clients [default: 127.0.0.1:7379]; port 0 takes a free one.
    #[arg(long, env = "QUORATE_CLIENT", value_name = "ADDR")]
    client: Option<String>,
    /// A name that no member and no other proxy has [default: made of the machine's and the port].
    #[arg(long, env = "QUORATE_NAME")]
    name: Option<String>,
    /// The cluster's name [default: quorate].
    #[arg(long, env = "QUORATE_CLUSTER", value_name = "NAME")]
    cluster: Option<String>,
    /// The cluster's secret: a file of 32 bytes and mode 0600.
    #[arg(long, env = "QUORATE_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Replicas that must answer a read [default: a majority].
    #[arg(long, env = "QUORATE_R")]
    r: Option<u8>,
    /// Replicas that must acknowledge a write [default: a majority].
    #[arg(long, env = "QUORATE_W")]
    w: Option<u8>,
    /// Milliseconds until the deadline of a request that names none [default: 1000].
    #[arg(long, env = "QUORATE_TIMEOUT_MS", value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Serve Redis clients on this Unix socket too.
    #[arg(long, env = "QUORATE_UNIX", value_name = "PATH")]
    unix: Option<PathBuf>,
    /// Allow addresses that are not loopback although nobody has to log in.
    #[arg(long, env = "QUORATE_ALLOW_OPEN_BIND", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_open_bind: Option<bool>,
    /// The least important lines to log [default: info].
    #[arg(long, env = "QUORATE_LOG", value_name = "LEVEL")]
    log: Option<LogLevel>,
    /// Log to this file instead of stderr; SIGHUP opens it anew.
    #[arg(long, env = "QUORATE_LOG_FILE", value_name = "FILE")]
    log_file: Option<PathBuf>,
}

/// Serves until a signal asks to stop.
///
/// # Errors
/// The settings are wrong, a socket cannot be opened, or no member is found.
pub fn run(arguments: ProxyArguments) -> Result<(), Failure> {
    let name = arguments.name.unwrap_or_else(|| default_name(arguments.client.as_deref()));
    let arguments = NodeArguments {
        name: Some(name),
        join: Some(arguments.join),
        client: arguments.client,
        cluster: arguments.cluster,
        key_file: arguments.key_file,
        r: arguments.r,
        w: arguments.w,
        timeout_ms: arguments.timeout_ms,
        unix: arguments.unix,
        allow_open_bind: arguments.allow_open_bind,
        log: arguments.log,
        log_file: arguments.log_file,
        ..NodeArguments::default()
    };
    node::serve(arguments.gather(Role::Client)?, meet)
}

/// Turns until a member has told who holds what: before that no request could be answered.
fn meet(event_loop: &mut EventLoop) -> Result<(), Failure> {
    let give_up = Instant::now() + MEETING_MAX;
    while event_loop.status().layout_version == 0 {
        let until = event_loop.now().mono + Duration::from_millis(100);
        if event_loop.turn(Wait::Until(until))?.stopped {
            break;
        }
        if Instant::now() > give_up {
            return Err(Failure::new(CANNOT_CONNECT, "no member of the cluster answers at --join"));
        }
    }
    Ok(())
}

/// A name that stays the same, so that members meet one node and not a new one at each start.
fn default_name(client: Option<&str>) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let port = client.and_then(|client| client.rsplit_once(':')).map_or("7379", |(_, port)| port);
    let port = if port == "0" { std::process::id().to_string() } else { port.to_owned() };
    let host = host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    format!("proxy-{}-{port}", host.take(40).collect::<String>())
}
