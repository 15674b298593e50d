//! Listening sockets: bound with their addresses in error messages, never bound twice, and nothing of
//! them left behind.
//!
//! A Unix socket's file gets its permissions before it exists. A file in its place is removed only if it
//! is a socket and nobody listens on it, and at the end ours is removed only if it still is ours.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};

use super::limits::BACKLOG;
use super::options::OpenError;
use super::socket::Stream;
use super::sys;

/// A socket that accepts connections.
#[derive(Debug)]
pub(super) struct Listener {
    kind: Kind,
    /// Connections may be waiting: an edge came, and accepting has not found none since.
    pub(super) ready: bool,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket, removed when this is dropped if it is still the same file.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A forked child gives up its copy; the file is its parent's.
        if sys::was_forked() {
            return;
        }
        let found = std::fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Listens on a TCP address; port 0 lets the system choose.
    pub(super) fn tcp(setting: &'static str, address: SocketAddr) -> Result<Listener, OpenError> {
        let bind = || -> io::Result<TcpListener> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
            // A node that was killed can bind again at once, whatever connections it left in TIME_WAIT.
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(TcpListener::from_std(socket.into()))
        };
        match bind() {
            Ok(listener) => Ok(Listener { kind: Kind::Tcp(listener), ready: false }),
            Err(error) => Err(bind_error(setting, address.to_string(), error)),
        }
    }

    /// Listens on a Unix socket that only this user may connect to.
    pub(super) fn unix(setting: &'static str, path: &Path) -> Result<Listener, OpenError> {
        remove_stale(setting, path)?;
        let bind = || -> io::Result<Listener> {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
            sys::set_mode(socket.as_raw_fd(), 0o600)?;
            socket.bind(&SockAddr::unix(path)?)?;
            let found = std::fs::symlink_metadata(path)?;
            let file = SocketFile { path: path.to_owned(), device: found.dev(), inode: found.ino() };
            socket.listen(BACKLOG)?;
            let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(
                std::os::fd::OwnedFd::from(socket),
            ));
            Ok(Listener { kind: Kind::Unix(listener, file), ready: false })
        };
        bind().map_err(|error| bind_error(setting, path.display().to_string(), error))
    }

    /// The TCP address that was bound.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().ok(),
            Kind::Unix(..) => None,
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match &mut self.kind {
            Kind::Tcp(listener) => listener,
            Kind::Unix(listener, _) => listener,
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE)
    }

    /// The next connection that waits, with the name of its other side. `None`: none waits, and an event
    /// will tell when one does.
    ///
    /// # Errors
    /// No connection can be accepted now, typically because no descriptor is left. No event will come for
    /// those that wait already: try again after a while.
    pub(super) fn accept(&mut self) -> io::Result<Option<(Stream, String)>> {
        loop {
            let accepted = match &self.kind {
                Kind::Tcp(listener) => {
                    listener.accept().map(|(stream, from)| (Stream::Tcp(stream), from.to_string()))
                }
                Kind::Unix(listener, file) => listener
                    .accept()
                    .map(|(stream, _)| (Stream::Unix(stream), format!("{}:0", file.path.display()))),
            };
            match accepted {
                Ok(accepted) => return Ok(Some(accepted)),
                Err(error) => match error.kind() {
                    // The connection was gone before it was accepted, or a signal came.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        self.ready = false;
                        return Ok(None);
                    }
                    _ => return Err(error),
                },
            }
        }
    }
}

/// Removes what a killed process left at the path of its socket.
fn remove_stale(setting: &'static str, path: &Path) -> Result<(), OpenError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        let problem = format!("{} exists and is no socket", path.display());
        return Err(OpenError::Setting { setting, problem });
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| bind_error(setting, path.display().to_string(), error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(OpenError::InUse { setting, address: path.display().to_string() }),
    }
}

pub(super) fn bind_error(setting: &'static str, address: String, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::AddrInUse => OpenError::InUse { setting, address },
        // What was asked for does not exist here or is not allowed: the setting is to be changed.
        io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotFound
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::Unsupported => {
            OpenError::Setting { setting, problem: format!("cannot listen on {address}: {error}") }
        }
        _ => OpenError::Io { doing: format!("{setting}: listening on {address}"), error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_port_in_use_is_named_with_its_setting() {
        let any = "127.0.0.1:0".parse().unwrap();
        let first = Listener::tcp("client", any).unwrap();
        let address = first.address().unwrap();
        match Listener::tcp("peer", address) {
            Err(OpenError::InUse { setting: "peer", address: named }) => {
                assert_eq!(named, address.to_string())
            }
            other => panic!("{other:?}"),
        }
        drop(first);
        Listener::tcp("peer", address).unwrap();
    }

    #[test]
    fn an_address_of_another_machine_is_a_wrong_setting() {
        let error = Listener::tcp("client", "192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert_eq!(error.exit_code(), 64, "{error}");
    }

    #[test]
    fn a_unix_socket_is_private_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = Listener::unix("unix", &path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Listener::unix("unix", &path), Err(OpenError::InUse { .. })));
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_stale_socket_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        // As a killed process leaves it: the file without a listener.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = Listener::unix("unix", &path).unwrap();
        // Another file in our place is not ours to remove.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"precious").unwrap();
        drop(listener);
        let error = Listener::unix("unix", &path).unwrap_err();
        assert_eq!(error.exit_code(), 64, "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
