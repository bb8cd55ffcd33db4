//! What follows an attempt that is not the last: another one, or an answer that says why there is none.

use std::sync::Arc;

use roost_http1::RequestFacts;
use roost_replay::{Invalid, MAX_JSON, Reason};
use roost_wire::{Level, Machine};
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::Body;
use super::download::Replay;
use super::ending::Ending;
use super::exchange::{NoMachine, Step};
use super::link::NoLink;
use super::refusal::Refusal;
use super::session::{Next, Session};
use crate::replay::keeper::Unkept;
use crate::replay::{Ground, NextHead, Plan, Refused};

impl<'a, R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<'a, R, W> {
    /// What plans need to know of the connection.
    pub(super) fn ground(&self) -> Ground<'a> {
        Ground {
            worker: self.worker,
            target: self.target,
            rules: &self.manner.replay_rules,
        }
    }

    /// Plans the attempt that the Machine `by` asks for.
    pub(super) async fn resend(
        &mut self,
        replay: Replay,
        by: &Arc<Machine>,
        facts: RequestFacts,
        plan: &mut Plan,
        body: &Body,
    ) -> Step {
        self.take_lines();
        let shared = &self.worker.shared;
        self.target.app.note_replay(shared.now());
        let planned = if let Some(why) = body.lost() {
            let message = match why {
                Unkept::TooLarge => {
                    "the app asked for a replay of a request whose body was too large to be kept"
                }
                Unkept::NoRoom => {
                    "the app asked for a replay of a request for whose body there was no room"
                }
            };
            Err(Refused::coded("PA01", message))
        } else {
            self.plan_replay(&replay, by, plan)
        };
        match planned {
            Ok(next) => {
                self.change_head(next);
                Step::Again
            }
            Err(Refused { code, message }) => {
                let refusal = Refusal::coded(502, code, message);
                let whole = body.is_whole();
                let next = self.answer_error(&refusal, facts, false, whole).await;
                self.log_refusal(&by.app, &refusal, Some(&by.id));
                Step::Done(next)
            }
        }
    }

    fn plan_replay(
        &self,
        replay: &Replay,
        by: &Arc<Machine>,
        plan: &mut Plan,
    ) -> Result<NextHead, Refused> {
        if replay.too_large {
            let message = format!("the JSON body is larger than {MAX_JSON} bytes");
            return Err(Invalid(message).into());
        }
        let directive = replay.order.read(replay.body.as_deref())?;
        let head = self.request.get(..self.base_len).unwrap_or_default();
        plan.replayed(self.ground(), head, directive, by)
    }

    fn change_head(&mut self, next: NextHead) {
        if let NextHead::Changed(head) = next {
            let length = head.len();
            self.request.splice(..self.base_len, head);
            (self.base_len, self.head_len) = (length, length);
        }
    }

    /// Plans another attempt when no Machine was reached, or answers.
    pub(super) async fn unreached(
        &mut self,
        error: NoMachine,
        facts: RequestFacts,
        plan: &mut Plan,
        body: &Body,
    ) -> Step {
        let mut machine = None;
        let (refusal, reason) = match error {
            NoMachine::ClientGone => return Step::Done(Next::End(Ending::Close)),
            NoMachine::Route { error, again } => {
                let reason = match (again, &*error.code) {
                    (true, _) => Reason::RetriesExhausted,
                    (false, "PM03") => Reason::Timeout,
                    (false, _) => Reason::NoCandidate,
                };
                let status = if &*error.code == "PR02" { 502 } else { 503 };
                let code = error.code.to_string();
                (Refusal::coded(status, code, error.message), reason)
            }
            NoMachine::Link(error, which) => {
                machine = Some(which);
                let refusal = match error {
                    NoLink::Connect(error) => Refusal::coded(503, error.code, error.message),
                    NoLink::Refused(refusal) => refusal,
                };
                (refusal, Reason::RetriesExhausted)
            }
            NoMachine::Late => {
                let message = "no machine was reached in the time that the replay gives";
                (Refusal::coded(503, "PR03", message), Reason::Timeout)
            }
        };
        self.take_lines();
        let head = self.request.get(..self.base_len).unwrap_or_default();
        let app = plan.aim.app.name.clone();
        if !body.is_lost()
            && let Some(next) = plan.rescued(self.ground(), head, reason)
        {
            self.log_refusal(&app, &refusal, machine.as_deref());
            self.change_head(next);
            return Step::Again;
        }
        let next = self
            .answer_error(&refusal, facts, false, body.is_whole())
            .await;
        self.log_refusal(&app, &refusal, machine.as_deref());
        if app != self.target.app.name {
            // Whoever sent its requests there wants to know as well.
            self.log_refusal(&self.target.app.name, &refusal, None);
        }
        Step::Done(next)
    }

    /// Says that a request cannot be replayed any more.
    pub(super) fn log_lost(&self, why: Unkept, app: &str, machine: &str) {
        let message = match why {
            Unkept::TooLarge => {
                "the request body is larger than what is kept, so it could not be replayed"
            }
            Unkept::NoRoom => {
                "there is no room to keep the request body, so it could not be replayed"
            }
        };
        self.log_at(Level::Warn, app, "PA01", message, Some(machine));
    }
}
