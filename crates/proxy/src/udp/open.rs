//! The beginning of a flow: a unit of load, and a Machine that takes the first datagram.
//!
//! Whether a program listens on a UDP port can only be learned by sending something there, and what is sent
//! reaches the program. So the first datagram itself is the question: while nothing listens the Machine's
//! kernel refuses it, and it is sent again.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use roost_core::{Micros, Request};
use roost_wire::TransportPort;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use crate::route::{Slot, Target};
use crate::udp::bounds::HELD_BYTES;
use crate::udp::flow::{Flow, refusal};
use crate::worker::Worker;

/// A refusal comes back at once, or a little later on a busy host; after this time without one the datagram was
/// taken.
const REFUSAL_WITHIN: Duration = Duration::from_millis(25);
/// Before the second try. Each pause is twice as long as the one before it.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// At most, where all who wait are for one port.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// At most, where others may wait for their turn.
const LONGEST_TURN: Duration = Duration::from_millis(5);

/// What became of a first datagram.
enum Proof {
    Taken,
    /// Not so far: others, who may be for ports that are there already, have their turn.
    NotYet,
    /// The Machine takes nothing new.
    Turned,
    Refused(io::Error),
}

/// Finds a Machine that takes the flow's datagrams; waking and waiting are bounded by the settings. What goes
/// wrong is in the app's log.
pub(super) async fn open(
    worker: &Rc<Worker>,
    flow: &Rc<Flow>,
    target: &Target,
) -> Option<(Slot, Rc<UdpSocket>)> {
    let shared = &worker.shared;
    let patience = worker
        .config()
        .settings
        .wake_timeout_ms
        .saturating_mul(1_000);
    let until = shared.now().saturating_add(patience);
    let app = &target.app;
    let mut pause = FIRST_PAUSE;
    loop {
        let request = Request {
            port: TransportPort::udp(target.port),
            exclude: &[],
            wish: None,
            held_bytes: HELD_BYTES,
        };
        let slot = match worker.unit(app, request).await {
            Ok(granted) => Slot::new(worker.clone(), app.clone(), granted),
            Err(refusal) => {
                let (code, message) = (refusal.code(false), refusal.to_string());
                shared.log(&app.name, None, code, &message, None);
                return None;
            }
        };
        flow.goes_to(slot.machine());
        let proof = match slot.datagrams(target.port) {
            Ok(socket) => match prove(worker, flow, &slot, &socket, &mut pause, until).await {
                Proof::Taken => return Some((slot, Rc::new(socket))),
                other => other,
            },
            Err(error) => Proof::Refused(error),
        };
        let (code, message) = match proof {
            Proof::Refused(error) => ("PC01", refusal(&slot, target, &error)),
            Proof::Turned if shared.now() >= until => (
                "PM05",
                format!("machine {} did not stay up", slot.machine()),
            ),
            _ => continue,
        };
        slot.refused();
        shared.log(&app.name, Some(slot.machine()), code, &message, None);
        return None;
    }
}

/// Sends the first datagram until it is not refused, or until then. Where others may wait for another port of
/// the same service only once: a port that nobody ever listens on must not keep them.
async fn prove(
    worker: &Worker,
    flow: &Flow,
    slot: &Slot,
    socket: &UdpSocket,
    pause: &mut Duration,
    until: Micros,
) -> Proof {
    while !slot.is_proven() {
        match attempt(flow, socket).await {
            Ok(()) => {
                slot.accepted();
                flow.pop_first();
                break;
            }
            Err(error) if worker.shared.now() >= until => return Proof::Refused(error),
            Err(_) => {}
        }
        tokio::select! {
            () = flow.turned() => return Proof::Turned,
            () = sleep(*pause) => {}
        }
        if !slot.has_one_port() {
            *pause = (*pause * 2).min(LONGEST_TURN);
            return Proof::NotYet;
        }
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }
    Proof::Taken
}

/// Sends the first datagram once, and waits for its refusal.
async fn attempt(flow: &Flow, socket: &UdpSocket) -> io::Result<()> {
    flow.send_first(socket)?;
    let either = Interest::READABLE | Interest::ERROR;
    // An answer, or the time that passed, shows that it was taken.
    let _ = timeout(REFUSAL_WITHIN, socket.ready(either)).await;
    match socket.take_error()? {
        None => Ok(()),
        Some(error) => {
            // Forgets that there was one, or the next wait would end at once.
            let _ = socket.try_io(Interest::ERROR, || {
                Err::<(), _>(io::ErrorKind::WouldBlock.into())
            });
            Err(error)
        }
    }
}
