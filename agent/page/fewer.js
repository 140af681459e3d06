// Points that are shown never shrink without a word. Owns counting how many went by the centre's word: what is reserved,
// or a receipt took, says so itself.

// Told a member, and of whom and which moment that is, says how many are fewer since what was told before; 0 of none.
export function fewerCounter() {
  let before = {};
  return (member, whose) => {
    if (!member) return (before = {}, 0);
    const own = member.reserved.reduce((sum, { points }) => sum + points, member.spendable), all = own + member.pending;
    if (whose !== before.whose) before = { whose, own, all, fewer: 0 };
    const fewer = Math.max(0, before.own - own, before.all - all);
    if (own !== before.own || all !== before.all) before = { whose, own, all, fewer };
    return before.fewer;
  };
}
