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

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use skein_domain::testing::ManualClock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Fails so many times; each attempt takes a second of the mail's life.
    struct Flaky {
        failures: AtomicU32,
        attempts: AtomicU32,
        now: Arc<ManualClock>,
    }

    #[async_trait]
    impl Mailer for Flaky {
        async fn send(&self, _: Mail) -> Result<()> {
            self.now.advance(1_000);
            self.attempts.fetch_add(1, Ordering::Relaxed);
            match self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
                Ok(_) => Err(Error::new(Code::MailFailed, "not now")),
                Err(_) => Ok(()),
            }
        }
    }

    /// How often a mail that is of use until `until` is tried.
    async fn attempts(failures: u32, until: i64) -> u32 {
        let now = Arc::new(ManualClock::default());
        let mailer = Arc::new(Flaky { failures: failures.into(), attempts: 0.into(), now: now.clone() });
        let (post, postman) = Post::new(mailer.clone(), now);
        let mail = Mail { to: "a@b".into(), subject: String::new(), text: String::new() };
        post.place().unwrap().post(mail, Millis(until));
        drop(post);
        postman.run(CancellationToken::new()).await;
        mailer.attempts.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_is_tried_again_a_few_times_while_it_is_of_use() {
        assert_eq!(attempts(0, 300_000).await, 1);
        assert_eq!(attempts(2, 300_000).await, 3);
        assert_eq!(attempts(9, 300_000).await, TRIES, "not for ever");
        assert_eq!(attempts(9, 500).await, 1, "nobody can use it any more");
    }
}
