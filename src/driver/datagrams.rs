//! The socket for datagrams, on the same address and port as the listener for peers.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};

use super::listener::bind_error;
use super::options::OpenError;

/// A socket that sends and takes datagrams, and never waits.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    /// Datagrams may be waiting: an edge came, and reading has not found none since.
    pub(super) readable: bool,
    speaks_v6: bool,
}

impl Datagrams {
    /// Binds the address of a listener.
    pub(super) fn bind(setting: &'static str, address: SocketAddr) -> Result<Datagrams, OpenError> {
        let bind = || -> io::Result<UdpSocket> {
            let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), None)?;
            // Without SO_REUSEADDR: a closed socket leaves nothing that would stand in the way of the next,
            // and with it two processes could have the port, of which one would hear nothing.
            socket.bind(&address.into())?;
            Ok(UdpSocket::from_std(socket.into()))
        };
        match bind() {
            Ok(socket) => Ok(Datagrams { socket, readable: false, speaks_v6: address.is_ipv6() }),
            Err(error) => Err(bind_error(setting, format!("{address} (UDP)"), error)),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// The next datagram that waits, and where it came from. `None`: none waits, and an event will tell when
    /// one does.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> Option<(usize, SocketAddr)> {
        loop {
            match self.socket.recv_from(into) {
                Ok((length, from)) => return Some((length, plain(from))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whatever went wrong: the next datagram makes a new edge.
                Err(_) => {
                    self.readable = false;
                    return None;
                }
            }
        }
    }

    /// Sends one datagram, or says why it was dropped. A full socket drops it too, as the network would.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let to = match to.ip() {
            // A socket of the newer family reaches the older one by its mapped addresses.
            IpAddr::V4(ip) if self.speaks_v6 => SocketAddr::from((ip.to_ipv6_mapped(), to.port())),
            _ => to,
        };
        loop {
            match self.socket.send_to(bytes, to) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The address as it was written in a list, also if it came through a socket of the newer family.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_comes_once_with_its_senders_address() {
        let any = "127.0.0.1:0".parse().unwrap();
        let (sender, mut receiver) =
            (Datagrams::bind("peer", any).unwrap(), Datagrams::bind("peer", any).unwrap());
        let address = |datagrams: &Datagrams| datagrams.socket.local_addr().unwrap();
        sender.send(address(&receiver), b"hello").unwrap();
        let mut buffer = [0; 100];
        receiver.readable = true;
        assert_eq!(receiver.receive(&mut buffer), Some((5, address(&sender))));
        assert_eq!((&buffer[..5], receiver.readable), (&b"hello"[..], true));
        assert_eq!((receiver.receive(&mut buffer), receiver.readable), (None, false));
        match Datagrams::bind("peer", address(&sender)) {
            Err(OpenError::InUse { setting: "peer", .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_of_the_older_family_is_reached_through_the_newer_one() {
        let Ok(mut both) = Datagrams::bind("peer", "[::]:0".parse().unwrap()) else { return };
        let mut old = Datagrams::bind("peer", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = old.socket.local_addr().unwrap();
        let mut buffer = [0; 100];
        if both.send(address, b"ping").is_err() {
            // A machine without it, or with sockets that speak one family only.
            return;
        }
        let (_, from) = old.receive(&mut buffer).unwrap();
        old.send(from, b"pong").unwrap();
        assert_eq!(both.receive(&mut buffer), Some((4, address)));
    }
}
