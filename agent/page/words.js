// Words, numbers and dates in a language. What is missing in one fails a test.

export const LANGUAGES = {
  en: "English", sr: "Srpski", "sr-Cyrl": "Српски", hr: "Hrvatski", sl: "Slovenščina", de: "Deutsch",
};
const UNITS = [["days", 86_400], ["hours", 3_600], ["minutes", 60]]; // in seconds
const loaded = {};

// The words of a language that `LANGUAGES` has: of the cashier page, and what `more` another page says.
export async function wordsOf(language, more = []) {
  const told = async (name) => (await fetch(`/page/${name}-${language}.json`)).json();
  loaded[language] ??= new Words(Object.assign({}, ...await Promise.all(["words", ...more].map(told))));
  return loaded[language];
}

class Words {
  constructor(texts) {
    const { locale } = texts;
    this.texts = texts;
    this.locale = locale;
    this.plural = new Intl.PluralRules(locale);
    this.plain = new Intl.NumberFormat(locale, { useGrouping: "always" });
    this.withSign = new Intl.NumberFormat(locale, { useGrouping: "always", signDisplay: "exceptZero" });
    this.percent = new Intl.NumberFormat(locale, { style: "percent" });
    this.time = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hour12: false });
    this.day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
  }

  has(key) {
    return key in this.texts;
  }

  // A text with its {values}; where it has plural forms, `n` chooses and is written as a number.
  say(key, values = {}) {
    const text = this.texts[key];
    const template = typeof text === "string" ? text : text[this.plural.select(Math.abs(values.n))];
    return template.replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name] ?? "";
      return typeof value === "number" ? this.number(value) : String(value);
    });
  }

  number(value) {
    return this.plain.format(value);
  }

  signed(value) {
    return this.withSign.format(value);
  }

  money(minor, digits, currency) {
    const format = new Intl.NumberFormat(this.locale, {
      useGrouping: "always", minimumFractionDigits: digits, maximumFractionDigits: digits,
    });
    return `${format.format(Math.abs(minor) / 10 ** digits)}\u00a0${currency}`;
  }

  // What a reward takes off: money, a part of the goods' price, or a piece of them.
  off({ discount_minor: minor, discount_percent: percent, piece_minor: price }, digits, currency) {
    if (minor !== null) return this.money(minor, digits, currency);
    if (percent !== null) return this.percent.format(percent / 100);
    return price ? this.say("piece_for", { total: this.money(price, digits, currency) }) : this.say("piece_free");
  }

  // The time of day, with its day where that is not today.
  clock(time) {
    const moment = new Date(time);
    const today = moment.toDateString() === new Date().toDateString();
    return today ? this.time.format(moment) : `${this.day.format(moment)} ${this.time.format(moment)}`;
  }

  date(time) {
    return this.day.format(new Date(time));
  }

  span(seconds) {
    const [unit, long] = UNITS.find(([, long]) => seconds >= long) ?? ["seconds", 1];
    return this.say(unit, { n: Math.floor(seconds / long) });
  }
}
