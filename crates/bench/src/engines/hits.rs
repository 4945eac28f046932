//! What the caches answer while people read and write: a town of groups of different popularity, whose devices come back, open
//! groups, look at who is in them, say something, look for rooms, and go into one and out of it again.
//!
//! Memberships are the snapshots that sends and deliveries are judged by. Routes have no row: with Redis they live there and
//! nowhere else, so that each lookup is answered by it.

use super::stack::{Engines, Stack};
use crate::load;
use crate::metrics::Metrics;
use anyhow::{Context, Result};
use serde::Serialize;
use skein_domain::account::DeviceClass;
use skein_domain::id::{ConversationId, Uid};
use skein_protocol::{Request, v1};
use skein_sdk::connection::{Address, Auth, Connection, Scheme};
use skein_testkit::seed::Seed;
use skein_testkit::server::ServerProcess;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const PEOPLE: usize = 200;
const GROUPS: usize = 50;
const MEMBERS: usize = 20;
const ROOMS: usize = 60;
/// Between two deeds of a device.
const PAUSE: Duration = Duration::from_millis(100);
const NEWEST: i64 = 20;

/// Lookups by what answered them.
#[derive(Debug, Clone, Serialize)]
pub struct HitRate {
    pub what: &'static str,
    pub memory: f64,
    pub redis: f64,
    pub store: f64,
}

impl HitRate {
    pub fn lookups(&self) -> f64 {
        self.memory + self.redis + self.store
    }

    fn read(metrics: &Metrics, what: &'static str, metric: &str, label: &str, others: &str) -> Self {
        let answered = |by: &str| metrics.sum(metric, &[others, &format!("{label}=\"{by}\"")]);
        Self { what, memory: answered("memory"), redis: answered("redis"), store: answered("store") }
    }
}

struct Inhabitant {
    token: String,
    groups: Vec<Arc<Group>>,
}

struct Group {
    conversation: ConversationId,
    members: Vec<Uid>,
}

/// On MariaDB with Redis and Kafka, from cold.
pub async fn measure(engines: &Engines, time: Duration) -> Result<Vec<HitRate>> {
    let (mut server, town) = engines.ready_with(Stack::Servers, found).await?;
    live(&server, town, Instant::now() + time).await?;
    let metrics = Metrics::of(server.admin()?).await?;
    server.terminate().await?;
    Ok(hit_rates(&metrics))
}

fn hit_rates(metrics: &Metrics) -> Vec<HitRate> {
    let cached = |what, cache| HitRate::read(metrics, what, "skein_cache_lookups_total", "tier", cache);
    vec![
        cached("sessions", "cache=\"sessions\""),
        cached("profiles", "cache=\"profiles\""),
        HitRate::read(metrics, "memberships", "skein_snapshots_total", "from", ""),
        cached("recent entries", "cache=\"entries\""),
        cached("rooms", "cache=\"rooms\""),
    ]
}

/// People, and the groups that hold them.
async fn found(seed: &Seed) -> Result<Vec<Inhabitant>> {
    let (mut uids, mut town) = (Vec::new(), Vec::new());
    for nth in 0..PEOPLE {
        let uid = seed.user(&format!("reader-{nth}")).await?;
        town.push(Inhabitant { token: seed.session(uid, DeviceClass::Cli).await?, groups: Vec::new() });
        uids.push(uid);
    }
    for nth in 0..GROUPS {
        // Spread so that everybody is in some group.
        let places: Vec<usize> = (0..MEMBERS).map(|member| (nth * 7 + member * 11) % PEOPLE).collect();
        let members: Vec<Uid> = places.iter().map(|place| uids[*place]).collect();
        let conversation = seed.group(&format!("group-{nth}"), members[0], &members[1..]).await?;
        let group = Arc::new(Group { conversation, members });
        places.iter().for_each(|place| town[*place].groups.push(group.clone()));
    }
    let owner = seed.user("owner-of-rooms").await?;
    for nth in 0..ROOMS {
        seed.room(&format!("room-{nth}"), owner, &[]).await?;
    }
    Ok(town)
}

async fn live(server: &ServerProcess, town: Vec<Inhabitant>, end: Instant) -> Result<()> {
    let tcp = server.endpoints()?.tcp;
    let address = Address { scheme: Scheme::Tcp, host: tcp.ip().to_string(), port: tcp.port(), path: String::new() };
    let mut devices = JoinSet::new();
    for (nth, inhabitant) in town.into_iter().enumerate() {
        let device = Device { address: address.clone(), inhabitant, dice: Dice(nth as u64), said: 0 };
        devices.spawn(device.live_until(end));
    }
    while let Some(ended) = devices.join_next().await {
        ended.context("a device failed")??;
    }
    Ok(())
}

struct Device {
    address: Address,
    inhabitant: Inhabitant,
    dice: Dice,
    said: u32,
}

impl Device {
    async fn live_until(mut self, end: Instant) -> Result<()> {
        let mut connection = self.come_back().await?;
        while Instant::now() < end {
            match self.dice.below(100) {
                0..10 => connection = self.come_back().await?,
                10..55 => self.open_a_group(&connection).await?,
                55..60 => self.look_for_a_room(&connection).await?,
                _ => self.say(&connection).await?,
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Logs in and asks what is new.
    async fn come_back(&mut self) -> Result<Connection> {
        let token = self.inhabitant.token.clone();
        let (connection, mut pushes, _) = Connection::connect(&self.address, Auth::Token(token)).await.context("come back")?;
        tokio::spawn(async move { while pushes.recv().await.is_some() {} });
        connection.request(Request::Sync(v1::Sync::default())).await.context("sync")?;
        Ok(connection)
    }

    /// The newest entries of its log, and who is in it.
    async fn open_a_group(&mut self, connection: &Connection) -> Result<()> {
        let group = self.one_of_mine();
        let (conversation, uids) = (group.conversation.0, group.members.iter().map(|uid| uid.0).collect());
        let found: v1::ConversationReply = connection.ask(Request::GetConversation(v1::GetConversation { conversation })).await?;
        let head = found.conversation.map_or(0, |conversation| conversation.head);
        let newest = v1::Pull { conversation, from: (head - NEWEST + 1).max(1), to: head };
        connection.request(Request::Pull(newest)).await.context("pull")?;
        connection.request(Request::GetProfiles(v1::GetProfiles { uids })).await.context("look at people")?;
        Ok(())
    }

    /// Two times of ten they go in, and out again, which changes its line.
    async fn look_for_a_room(&mut self, connection: &Connection) -> Result<()> {
        let all = v1::ListRooms { cursor: String::new(), count: 0, watch: false };
        let found: v1::Rooms = connection.ask(Request::ListRooms(all)).await.context("look for rooms")?;
        let room = found.rooms.get(self.dice.below(found.rooms.len())).map(|room| room.conversation);
        if let Some(conversation) = room.filter(|_| self.dice.below(10) < 2) {
            self.said += 1;
            let (into, key) = (format!("joined-{}", self.said), format!("left-{}", self.said));
            connection.request(Request::JoinRoom(v1::JoinRoom { conversation, key: into })).await.context("go in")?;
            connection.request(Request::Leave(v1::Leave { conversation, key })).await.context("go out")?;
        }
        Ok(())
    }

    async fn say(&mut self, connection: &Connection) -> Result<()> {
        self.said += 1;
        let message = load::message(self.one_of_mine().conversation, format!("said-{}", self.said));
        connection.request(Request::Send(message)).await.context("say something")?;
        Ok(())
    }

    /// Of one's own groups, mostly one of the first.
    fn one_of_mine(&mut self) -> Arc<Group> {
        let mine = &self.inhabitant.groups;
        let nth = self.dice.below(mine.len()).min(self.dice.below(mine.len()));
        mine[nth].clone()
    }
}

/// The same run each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::hit_rates;
    use crate::metrics::Metrics;

    #[test]
    fn lookups_are_read_from_the_metrics() {
        let page = "# HELP skein_cache_lookups_total Lookups\n\
                    skein_cache_lookups_total{cache=\"profiles\",tier=\"memory\"} 70\n\
                    skein_cache_lookups_total{cache=\"profiles\",tier=\"redis\"} 20\n\
                    skein_cache_lookups_total{cache=\"profiles\",tier=\"store\"} 10\n\
                    skein_cache_lookups_total{cache=\"entries\",tier=\"redis\"} 9\n\
                    skein_snapshots_total{from=\"memory\"} 5\n\
                    skein_snapshots_total{from=\"store\"} 1\n";
        let rates: Vec<_> = hit_rates(&Metrics::read(page)).iter().map(|rate| (rate.what, rate.memory, rate.redis, rate.store)).collect();
        let wanted = [
            ("sessions", 0.0, 0.0, 0.0),
            ("profiles", 70.0, 20.0, 10.0),
            ("memberships", 5.0, 0.0, 1.0),
            ("recent entries", 0.0, 9.0, 0.0),
            ("rooms", 0.0, 0.0, 0.0),
        ];
        assert_eq!(rates, wanted);
    }
}
