//! The listener, a thread for each connection, and the end of them all.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::http::{self, Received};
use crate::log::Log;
use crate::routes::Site;
use crate::sending;

/// What all connections share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    site: Mutex<Site>,
    log: Mutex<Log>,
    connections: Mutex<Connections>,
    stop: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    stopped: bool,
    /// Open connections with their numbers, to close them when the server stops.
    open: Vec<(usize, TcpStream)>,
}

impl Shared {
    pub(crate) fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or until the server stops; whether it goes on.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let wait = self.stop.wait_timeout_while(self.connections(), time, |connections| !connections.stopped);
        !wait.unwrap_or_else(PoisonError::into_inner).0.stopped
    }

    /// Notes an open connection, unless the server has stopped.
    fn opened(&self, number: usize, stream: &TcpStream) -> bool {
        let mut connections = self.connections();
        let stream = stream.try_clone().ok().filter(|_| !connections.stopped);
        let open = stream.is_some();
        connections.open.extend(stream.map(|stream| (number, stream)));
        open
    }

    fn closed(&self, number: usize) {
        self.connections().open.retain(|(open, _)| *open != number);
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        shared.site().delivery_host = format!("localhost:{}", address.port());
        let connections = Arc::clone(&shared);
        let listening = thread::Builder::new().spawn(move || listen(&listener, &connections))?;
        Ok(Self { shared, address, listening: Some(listening) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let open = {
            let mut connections = self.shared.connections();
            connections.stopped = true;
            std::mem::take(&mut connections.open)
        };
        self.shared.stop.notify_all();
        for (_, stream) in open {
            let _ = stream.shutdown(Shutdown::Both); // the other side may have closed it
        }
        let _ = TcpStream::connect(self.address); // the listener looks up only when someone comes
        if let Some(listening) = self.listening.take() {
            let _ = listening.join(); // a panic there has been reported
        }
    }
}

/// Takes connections until the server stops, and waits for the last of them.
fn listen(listener: &TcpListener, shared: &Shared) {
    thread::scope(|scope| {
        for (number, stream) in listener.incoming().enumerate() {
            if shared.connections().stopped {
                break;
            }
            // Without a thread the connection is closed, as on a server that has no room.
            let _ = stream.and_then(|stream| {
                thread::Builder::new().spawn_scoped(scope, move || serve(stream, number, shared))
            });
        }
    });
}

fn serve(mut stream: TcpStream, number: usize, shared: &Shared) {
    if shared.opened(number, &stream) {
        let _ = stream.set_nodelay(true); // slower without, and no worse
        let mut buffer = Vec::new();
        loop {
            match http::receive(&mut stream, &mut buffer) {
                Ok(Received::Request(request)) => {
                    if !matches!(sending::respond(&mut stream, &request, shared), Ok(true)) {
                        break;
                    }
                }
                Ok(Received::Malformed) => {
                    let _ = io::Write::write_all(&mut stream, &http::head(400, &[], 0, false));
                    break;
                }
                Ok(Received::Closed) | Err(_) => break,
            }
        }
        let _ = stream.shutdown(Shutdown::Both); // the other side may have closed it
        shared.closed(number);
    }
}
