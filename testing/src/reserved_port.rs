//! A port that stays a test's own while nothing listens on it.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of this machine that the system gives to nobody else. Connections to it are refused until somebody who knows
/// it listens on it, with `SO_REUSEADDR`, as all servers here do.
///
/// A port that is only found free may be another test's server a moment later.
pub struct ReservedPort(TcpSocket);

impl ReservedPort {
    /// # Panics
    /// When no port is free.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("the system opens a socket");
        socket.set_reuseaddr(true).expect("a new socket takes options");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port is free");
        Self(socket)
    }

    /// # Panics
    /// Never: the socket is bound.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("the socket is bound")
    }
}

impl Default for ReservedPort {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::ErrorKind,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn a_reserved_port_refuses_connections_and_takes_listeners() {
        let port = ReservedPort::new();
        for _ in 0..3 {
            assert_eq!(TcpStream::connect(port.address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let _listener = TcpListener::bind(port.address()).unwrap();
            TcpStream::connect(port.address()).unwrap();
        }
    }
}
