/** A small world that looks lived in, for the screens that are checked and shown. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Account, befriend, Peer, type Server } from "../harness";
import type { Tongue } from "./screens";

export interface World {
  readonly me: Peer;
  readonly friend: Peer;
  readonly group: number;
  readonly direct: number;
  readonly room: number;
  /** What an app tells. */
  readonly notices: number;
  close(): void;
}

const WORDS = {
  en: {
    me: "Maya Lind",
    friends: ["Ann Miller", "Dana Ortiz", "Emil Novak", "Zoe Park", "王小明", "Ines Costa"],
    greeting: "Hello! We know each other from the hiking club",
    asks: ["Bob Hansen", "Hi Maya, we met at the lake on Sunday"],
    title: "Weekend hikers",
    announcement: "Saturday 8:00, east gate of the station. Bring water.",
    rooms: ["Photography", "Coffee corner"],
    group: [
      [0, "How about the north ridge on Saturday? The leaves should be just right."],
      [1, "Agreed! I can drive, four seats."],
      [2, "I bring the camera 📷"],
      [-1, "Then Saturday, eight o'clock, at the station."],
      [
        3,
        "The forecast says cloudy, 18 degrees: perfect for walking.\nThe route: https://example.org/routes/north-ridge",
      ],
      [0, "About 9 km and 480 m up, four hours at an easy pace.\nThere are two places to refill bottles."],
      [-1, "Sounds great, thank you! 🙏"],
    ],
    direct: [
      [0, "Morning! Did you get the train tickets?"],
      [-1, "Yes, both. Carriage 7, seats 12A and 12B."],
      [0, "Perfect. I will bring coffee ☕"],
      [-1, "😍"],
    ],
    room: [
      "Golden hour at the pier last night, f/8 and a lot of patience.",
      "That reflection! Which lens?",
      "The old 50 mm. I like how it renders water.",
      "Meeting at the pier again on Friday, 19:00. Newcomers welcome 📷",
    ],
    notices: ["Your parcel is on its way and comes tomorrow.", "Your parcel was handed over at the front desk."],
    draft: "I could bring the map and",
    mention: "are you coming on Sunday, too?",
    others: [
      "New mockups are up, please comment until Friday.",
      "Can you send me the notes?",
      "See you at seven then.",
      "哈哈，好的",
      "Thank you so much!",
    ],
  },
  zh: {
    me: "林晓雨",
    friends: ["张伟", "陈静", "王小明", "欧阳娜娜", "Ann Miller", "赵一鸣"],
    greeting: "你好，徒步队里认识的",
    asks: ["李雷", "你好，我是李雷，上次一起爬山的"],
    title: "周末徒步小队",
    announcement: "周六早上八点，地铁东口集合，记得带水。",
    rooms: ["摄影爱好者", "咖啡角"],
    group: [
      [0, "这周六去香山怎么样？红叶应该正好。"],
      [1, "同意！我可以开车，能坐四个人。"],
      [2, "我带相机📷"],
      [-1, "那就定周六早上八点，地铁口集合。"],
      [3, "天气预报说多云，18 度，很适合走路。\n路线在这里：https://example.org/routes/xiangshan"],
      [0, "全程大概 9 公里，爬升 480 米，慢慢走四个小时。\n中途有两个补给点。"],
      [-1, "太好了，辛苦啦！🙏"],
    ],
    direct: [
      [0, "早！火车票买好了吗？"],
      [-1, "买好了，7 车 12A 和 12B。"],
      [0, "太棒了，我带咖啡☕"],
      [-1, "😍"],
    ],
    room: [
      "昨晚码头的落日，光圈 f/8，等了很久。",
      "这个倒影太美了！用的什么镜头？",
      "老的 50 毫米，拍水面很有味道。",
      "周五晚上七点码头再聚，欢迎新朋友 📷",
    ],
    notices: ["你的包裹已发出，预计明天送达。", "你的包裹已由前台代收。"],
    draft: "我可以带地图，还有",
    mention: "周日你也来吗？",
    others: [
      "资料放到共享文件夹了，记得看第三章。",
      "晚上一起吃饭吗？",
      "七点，老地方见。",
      "See you tomorrow!",
      "谢谢你！",
    ],
  },
} as const;

export async function build(server: Server, tongue: Tongue): Promise<World> {
  const words = WORDS[tongue];
  const me = await Peer.register(server, words.me);
  const friends: Peer[] = [];
  for (const name of words.friends) {
    const friend = await Peer.register(server, name);
    await befriend(friend, me, words.greeting);
    friends.push(friend);
  }
  const speaker = (who: number) => (who < 0 ? me : (friends[who] as Peer));
  for (const [i, text] of words.others.entries()) {
    const friend = friends[i + 1] as Peer;
    await friend.say(await friend.direct(me.account.uid), text);
  }
  const asks = await Peer.register(server, words.asks[0]);
  await asks.request("apply", { uid: me.account.uid, greeting: words.asks[1] });
  const [room = 0] = [await speaker(1).room(words.rooms[0]), await speaker(1).room(words.rooms[1])];
  await me.join(room);
  await speaker(2).join(room);
  for (const [i, text] of words.room.entries()) await speaker(1 + (i % 2)).say(room, text);
  let notices = 0;
  for (const text of words.notices) notices = await tellAsApp(server, me.account, text);
  const direct = await speaker(0).direct(me.account.uid);
  for (const [who, text] of words.direct) await speaker(who).say(direct, text);
  const group = await me.group(
    words.title,
    friends.slice(0, 5).map(({ account }) => account.uid),
  );
  await me.request("changeInfo", { key: me.key(), conversation: group, announcement: words.announcement });
  const said: number[] = [];
  for (const [who, text] of words.group)
    said.push(await speaker(who).say(group, text, said.length === 6 ? { replyTo: said[5] } : {}));
  const react = (who: number, target: number | undefined, emoji: string) =>
    speaker(who).request("react", { conversation: group, key: speaker(who).key(), target, emoji, on: true });
  for (const who of [0, 1, 2]) await react(who, said[3], "👍");
  await react(2, said[6], "🎉");
  for (const who of [0, 1]) await speaker(who).request("markRead", { conversation: group, seq: said[6] });
  await arrange(me, friends, words, group);
  const close = () => {
    for (const peer of [me, asks, ...friends]) peer.close();
  };
  return { me, friend: friends[0] as Peer, group, direct, room, notices, close };
}

/** What makes a list look lived in: pinned, muted, a draft, a mention. */
async function arrange(
  me: Peer,
  friends: readonly Peer[],
  words: (typeof WORDS)[Tongue],
  group: number,
): Promise<void> {
  const [, , quiet, drafted, calls] = friends as [Peer, Peer, Peer, Peer, Peer];
  const uid = Number(me.account.uid);
  const settle = (conversation: number, change: object) => me.request("changeSettings", { conversation, ...change });
  await settle(group, { pinned: true });
  await settle(await quiet.direct(me.account.uid), { muted: true });
  await settle(await drafted.direct(me.account.uid), { draft: words.draft });
  const asking = { kind: "text", segments: [{ mention: { uid } }, { text: ` ${words.mention}` }] };
  await calls.sendBody(await calls.direct(me.account.uid), asking);
}

/** A durable push to somebody: the conversation with the app that it came to be in. */
export async function tellAsApp(server: Server, { uid }: Account, text: string): Promise<number> {
  const key = (await readFile(join(server.data, "push-api.key"), "utf8")).trim();
  const response = await fetch(`http://${server.address.push}/api/v1/push`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ to: { users: [uid] }, operation: 1000, text, durable: true }),
  });
  const { stored } = (await response.json()) as { stored: { conversation: string | number }[] };
  return Number(stored[0]?.conversation);
}
