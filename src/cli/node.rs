//! `quorate node`: one member in this process, from its settings to its exit code.

use std::io::Write;

use quorate::driver::{EventLoop, Level, Logger, key_file};

use super::exit::Failure;
use super::progress;
use super::settings::{NodeArguments, NodeSettings, Role};
use super::signals;

/// Serves until a signal asks to stop, and stops cleanly.
///
/// # Errors
/// The settings are wrong, the node cannot be opened, or its store could not be closed cleanly.
pub fn run(arguments: NodeArguments) -> Result<(), Failure> {
    serve(arguments.gather(Role::Store)?, |_| Ok(()))
}

/// Serves with these settings; says that it is ready when `meet` has come back.
///
/// # Errors
/// The node cannot be opened, `meet` fails, or its store could not be closed cleanly.
pub fn serve(
    settings: NodeSettings,
    meet: impl FnOnce(&mut EventLoop) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let NodeSettings { mut options, log, key_file } = settings;
    signals::claim()?;
    let logger = options.log.clone();
    let name = options.core.name.clone();
    if key_file.is_none() {
        let what = "no --key-file: the cluster's key is public, so anybody on this machine can join";
        logger.log(Level::Warn, "node", format_args!("{what}"));
    }
    let secret = options.core.secret;
    options.on_progress = Some(progress::of_opening(&logger));
    let mut event_loop = EventLoop::open(options)?;
    event_loop.on_reload(Box::new(move || {
        if let Err(error) = log.reopen() {
            logger.log(Level::Error, "node", format_args!("cannot open the log file again: {error}"));
        }
        check_key(key_file.as_deref(), &secret, &logger);
    }));
    signals::watch(vec![event_loop.handle()])?;
    meet(&mut event_loop)?;
    say_ready(&name, &event_loop);
    event_loop.run()?;
    Ok(())
}

/// The one line on stdout. Whoever started us may have closed it; that is no reason to stop.
fn say_ready(name: &str, event_loop: &EventLoop) {
    let client = event_loop.client_addresses().first().map(ToString::to_string).unwrap_or_default();
    let peer = event_loop.peer_address().map(|address| address.to_string()).unwrap_or_default();
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "ready name={name} client={client} peer={peer}");
    let _ = stdout.flush();
}

/// Reads the key file again. Positions of keys hang on the key, so another one cannot be taken on while
/// the node runs, and not over its records at all; an operator who replaced the file should hear it now.
fn check_key(path: Option<&std::path::Path>, secret: &[u8; key_file::SECRET_LEN], logger: &Logger) {
    let Some(path) = path else { return };
    match key_file::read("key-file", path).map_err(Failure::from) {
        Ok(read) if read == *secret => {}
        Ok(_) => {
            let path = path.display();
            logger.log(Level::Error, "node", format_args!("{path} holds another key; the first one stays"));
        }
        Err(failure) => logger.log(Level::Error, "node", format_args!("{failure}; the key in use stays")),
    }
}
