/** The emoji that the picker offers, as native glyphs. */
export type EmojiGroup = "smileys" | "gestures" | "nature" | "food" | "things" | "signs";

const split = (line: string): readonly string[] => line.split(" ");

export const emojiGroups: readonly (readonly [EmojiGroup, readonly string[]])[] = [
  [
    "smileys",
    split(
      "😀 😃 😄 😁 😆 😅 🤣 😂 🙂 🙃 😉 😊 😇 🥰 😍 🤩 😘 😗 😚 😙 😋 😛 😜 🤪 😝 🤗 🤭 🤫 🤔 🤐 🤨 😐 😑 😶 😏 😒 🙄 😬 😌 😔 😪 😴 😷 🤒 🤕 🤢 🤮 🤧 🥵 🥶 🥴 😵 🤯 🤠 🥳 😎 🤓 🧐 😕 😟 🙁 😮 😯 😲 😳 🥺 😦 😨 😰 😥 😢 😭 😱 😖 😣 😞 😓 😩 😫 🥱 😤 😡 😠 🤬 😈 💀 💩 🤡 👻 👽 🤖 😺 😸 😹 😻 🙈 🙉 🙊",
    ),
  ],
  [
    "gestures",
    split(
      "👍 👎 👌 ✌️ 🤞 🤟 🤘 🤙 👈 👉 👆 👇 ☝️ ✋ 🖐️ 🖖 👋 🤚 👏 🙌 👐 🤲 🤝 🙏 ✊ 👊 🤛 🤜 💪 ✍️ 💅 👀 🧠 👶 👦 👧 👨 👩 👴 👵 🙋 🙇 🤦 🤷 👩‍💻 👨‍💻 👩‍🍳 👨‍🎓 🕺 💃 🏃 🚶 👫 👨‍👩‍👧‍👦",
    ),
  ],
  [
    "nature",
    split(
      "🐶 🐱 🐭 🐹 🐰 🦊 🐻 🐼 🐨 🐯 🦁 🐮 🐷 🐸 🐵 🐔 🐧 🐦 🦆 🦉 🐴 🦄 🐝 🦋 🐌 🐞 🐢 🐍 🐙 🐠 🐬 🐳 🌵 🎄 🌲 🌴 🌱 🍀 🍁 🌸 🌹 🌻 🌼 🌈 ☀️ ⛅ 🌧️ ⛈️ ❄️ ☃️ 🌊 🌙 ⭐ ✨ ⚡ 🔥",
    ),
  ],
  [
    "food",
    split(
      "🍎 🍐 🍊 🍋 🍌 🍉 🍇 🍓 🍒 🍑 🥭 🍍 🥝 🍅 🥑 🥕 🌽 🌶️ 🍞 🥐 🧀 🥚 🍳 🥩 🍗 🍔 🍟 🍕 🌮 🥗 🍝 🍜 🍲 🍣 🍱 🥟 🍚 🍙 🍤 🍦 🍩 🍪 🎂 🍰 🍫 🍬 🍭 ☕ 🍵 🧋 🍺 🍻 🥂 🍷 🍸",
    ),
  ],
  [
    "things",
    split(
      "🎉 🎊 🎈 🎁 🎀 🧧 🏆 🥇 ⚽ 🏀 🏓 🏸 🎮 🎲 🎨 🎵 🎸 🎤 🎧 🎬 📷 💻 📱 ⌨️ 🖱️ 💡 🔋 🔑 🔒 🔧 🔨 📌 📎 ✂️ 📝 📖 📚 📅 📈 💰 💳 🧾 ✉️ 📦 🚗 🚕 🚌 🚲 🚄 ✈️ 🚀 ⛵ 🏠 🏢 🏫 🏥 ⏰ ⌛",
    ),
  ],
  [
    "signs",
    split(
      "❤️ 🧡 💛 💚 💙 💜 🖤 🤍 💔 ❣️ 💕 💞 💓 💗 💖 💘 💯 💢 💥 💫 💦 💤 ✅ ❌ ❓ ❗ ⚠️ 🚫 ⭕ ✔️ ➕ ➖ 🔴 🟠 🟡 🟢 🔵 🟣 ⚫ ⚪ 🔔 🔕 ♻️ 🆗 🆕 🔝 🏁 🚩 🏳️‍🌈 🇨🇳 🇬🇧 🇪🇺 🇯🇵 🇺🇸",
    ),
  ],
];

/** Offered first for reactions. */
export const quickReactions: readonly string[] = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];
