//! Mail on its way out, so that no caller waits for a mail server and no answer's time tells whether a mail was sent.
//!
//! **Invariant:** at most [`QUEUE`] mails wait; beyond that the caller is told `busy` before anything else happens, whether
//! or not there would be a mail. A mail is tried [`TRIES`] times while it is of use. What waits when the process
//! ends is lost; its addressee asks again.

use futures_util::StreamExt;
use skein_domain::id::Millis;
use skein_domain::port::{Clock, Mail, Mailer};
use skein_domain::{Code, Error, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const QUEUE: usize = 256;
const AT_A_TIME: usize = 4;
const TRIES: u32 = 3;
const TRY_DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Post {
    queue: mpsc::Sender<Letter>,
}

/// Carries what is posted to the mail server.
pub(super) struct Postman {
    queue: mpsc::Receiver<Letter>,
    mailer: Arc<dyn Mailer>,
    clock: Arc<dyn Clock>,
}

/// A place in the queue, to be used or not.
pub(super) struct Place<'a>(mpsc::Permit<'a, Letter>);

struct Letter {
    mail: Mail,
    /// Of no use afterwards.
    until: Millis,
}

impl Post {
    pub(super) fn new(mailer: Arc<dyn Mailer>, clock: Arc<dyn Clock>) -> (Self, Postman) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { queue: sender }, Postman { queue: receiver, mailer, clock })
    }

    pub(super) fn place(&self) -> Result<Place<'_>> {
        let busy = |_| Error::new(Code::Busy, "too much mail at once; try again").retry_after(5_000);
        self.queue.try_reserve().map(Place).map_err(busy)
    }
}

impl Place<'_> {
    pub(super) fn post(self, mail: Mail, until: Millis) {
        metrics::counter!("skein_mails_queued_total").increment(1);
        metrics::gauge!("skein_mail_queue").increment(1.0);
        self.0.send(Letter { mail, until });
    }
}

impl Postman {
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let letters = futures_util::stream::poll_fn(|context| self.queue.poll_recv(context));
        let delivery = letters.for_each_concurrent(AT_A_TIME, |letter| deliver(&*self.mailer, &*self.clock, letter));
        tokio::select! {
            () = delivery => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn deliver(mailer: &dyn Mailer, clock: &dyn Clock, letter: Letter) {
    metrics::gauge!("skein_mail_queue").decrement(1.0);
    for attempt in 1..=TRIES {
        if clock.now() > letter.until {
            metrics::counter!("skein_mails_total", "outcome" => "too_late").increment(1);
            return;
        }
        let sent = tokio::time::timeout(TRY_DEADLINE, mailer.send(letter.mail.clone())).await;
        match sent.unwrap_or_else(|_| Err(Error::new(Code::MailFailed, "the mail server takes too long"))) {
            Ok(()) => {
                metrics::counter!("skein_mails_total", "outcome" => "sent").increment(1);
                return;
            }
            Err(error) => tracing::warn!(code = error.code.as_str(), attempt, "mail not sent"),
        }
        if attempt < TRIES {
            tokio::time::sleep(PAUSE * attempt).await;
        }
    }
    metrics::counter!("skein_mails_total", "outcome" => "failed").increment(1);
}
