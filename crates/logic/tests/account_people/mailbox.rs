//! A mail server whose mailbox can be read.

use async_trait::async_trait;
use skein_domain::port::{Mail, Mailer};
use skein_domain::{Code, Error, Result};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

pub struct Mailbox {
    mails: Mutex<VecDeque<Mail>>,
    arrived: Notify,
    open: watch::Sender<bool>,
    unconfigured: AtomicBool,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { mails: Mutex::default(), arrived: Notify::new(), open: watch::Sender::new(true), unconfigured: AtomicBool::new(false) }
    }
}

impl Mailbox {
    pub fn unconfigure(&self) {
        self.unconfigured.store(true, Ordering::Relaxed);
    }

    /// Takes no mail until released.
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    pub fn release(&self) {
        self.open.send_replace(true);
    }

    pub fn unread(&self) -> usize {
        self.mails.lock().unwrap().len()
    }

    pub async fn next(&self) -> Mail {
        let arriving = async {
            loop {
                let arrived = self.arrived.notified();
                if let Some(mail) = self.mails.lock().unwrap().pop_front() {
                    return mail;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), arriving).await.expect("a mail arrives")
    }
}

#[async_trait]
impl Mailer for Mailbox {
    fn ready(&self) -> Result<()> {
        if self.unconfigured.load(Ordering::Relaxed) {
            return Err(Error::new(Code::MailNotConfigured, "no mail server is configured"));
        }
        Ok(())
    }

    async fn send(&self, mail: Mail) -> Result<()> {
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        self.mails.lock().unwrap().push_back(mail);
        self.arrived.notify_waiters();
        Ok(())
    }
}
