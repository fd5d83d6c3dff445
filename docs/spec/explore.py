#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Explores the rules of README.md at random where spin cannot go: five regions, three and more transactions on one key.

    explore.py RUNS REGIONS TRANSACTIONS [--break NAME] [--seed FIRST] [--trace]

A transaction is a blind write or a compare-and-set of the first version. Each run delivers, loses, repeats and reorders messages,
restarts regions, stops at most a minority for good, and lets any region recover anything at any time; then losses stop and all
that a live region holds must be decided. Checked: one decision and one replaced version each, answers agree, no compare-and-set over
another write, real-time order. Exit 1: a violation (the seed is printed); 3: nothing wrong but a run is stuck.
"""
import argparse
import random
import sys

BREAKS = ('passes-too-much', 'passes-nothing', 'voters-not-carried', 'proof-ignored', 'accept-unproven', 'accept-unlocked', 'accept-frees', 'conflicting-counted', 'conflicting-never-votes', 'named-ignored', 'restart-forgets',
          'wound-early', 'version-not-sent', 'replacer-blocks', 'coordinator-unseen-counted')
NONE, ABORT, COMMIT = None, 'A', 'C'
WITHDRAWN = (0, ABORT, 0.0, frozenset())  # accepted: ballot, value, version that it replaces, whose YES was seen


class Run:
    def __init__(self, regions, transactions, rng, broken):
        self.n, self.rng, self.broken = regions, rng, broken
        self.q = regions // 2 + 1
        self.ids = range(transactions)
        self.all = range(regions)
        spread = rng.random() < .8
        self.coordinator = [t % regions if spread else rng.randrange(regions) for t in self.ids]
        self.cas = [rng.random() < .5 for _ in self.ids]
        self.stamp = [0.0] * transactions
        self.base = [0.0] * transactions
        grid = lambda value: [[value] * transactions for _ in self.all]
        self.vote, self.promise, self.accepted, self.decision = grid(None), grid(0), grid(None), grid(NONE)
        self.runs, self.sent = [False] * transactions, [False] * transactions
        self.yes = [{} for _ in self.ids]
        self.withdrawn = [set() for _ in self.ids]
        self.answer = [None] * transactions
        self.before = [set() for _ in self.ids]
        self.recovery = {}
        self.messages, self.trace = [], []
        self.lost, self.clock = set(), 0
        self.error = None

    # -- what a region holds

    def committed(self, r):
        return {u: self.decision[r][u][1] for u in self.ids if self.decision[r][u] and self.decision[r][u][0] == COMMIT}

    def below(self, r, t):
        return max([self.stamp[u] for u in self.committed(r) if self.stamp[u] < self.stamp[t]] + [0.0])

    def proof(self, r, t):
        return any((self.stamp[u] > self.stamp[t] and v < self.stamp[t]) or (self.cas[t] and self.stamp[u] < self.stamp[t])
                   for u, v in self.committed(r).items() if u != t)

    def row_refuses(self, r, t):
        return any(self.cas[t] or self.stamp[u] > self.stamp[t] for u in self.committed(r))

    def holds(self, r, u):
        if self.decision[r][u]:
            return False
        accepted = self.accepted[r][u]
        return (self.coordinator[u] == r and self.runs[u]) or self.vote[r][u] is not None or \
            bool(accepted and accepted[1] == COMMIT and self.broken != 'accept-frees')

    def named(self, r, u):
        """The version that u, held here, would replace, as far as this region was told."""
        known = [self.vote[r][u]] + [self.accepted[r][u][2] if self.accepted[r][u] else None] + \
            [self.base[u] if self.coordinator[u] == r and self.runs[u] else None]
        return max([v for v in known if v is not None] or [0.0])

    def names(self, r, u, t):
        """u, held here, names t's version as the one that it replaces: t is committed."""
        return self.holds(r, u) and self.named(r, u) == self.stamp[t] and self.broken != 'replacer-blocks'

    def holders(self, r, t, accepting=False):
        found = [u for u in self.ids if u != t and self.holds(r, u)]
        if accepting:
            found = [u for u in found if not self.names(r, u, t) and
                     not (self.coordinator[u] == self.coordinator[t] and self.stamp[u] > self.stamp[t])]
        return found

    def fenced(self, r, t):
        if self.broken == 'restart-forgets':
            return False
        return any(u != t and self.coordinator[u] == r and self.sent[u] and not self.runs[u] and not self.decision[r][u] and
                   not self.names(r, u, t) for u in self.ids)

    # -- network

    def send(self, source, to, kind, t, *what):
        self.messages.append((source, to, kind, t) + what)

    def tell(self, source, kind, t, *what):
        for r in self.all:
            if r != source:
                self.send(source, r, kind, t, *what)

    # -- steps

    def start(self, t):
        c = self.coordinator[t]
        if self.sent[t] or self.answer[t] or c in self.lost or self.fenced(c, t):
            return
        self.clock += 1
        mine = self.committed(c)
        high = [self.stamp[u] for u in self.ids if self.coordinator[u] == c]
        top = max([self.stamp[u] for u in mine] + high + [0.0])
        self.stamp[t] = max(top + .01, self.clock + self.rng.uniform(-3, 3)) + t * 1e-6
        self.before[t] = {u for u in self.ids if self.answer[u] == 'ok'}
        if self.holders(c, t) or self.row_refuses(c, t) or self.promise[c][t]:
            self.answer[t] = 'refused'
            self.decision[c][t] = (ABORT, 0.0)
            return
        self.base[t] = 0.0 if self.broken == 'version-not-sent' else self.below(c, t)
        self.sent[t] = self.runs[t] = True
        self.trace.append(f'region {c} starts T{t} at {self.stamp[t]:.2f}')
        self.tell(c, 'PREPARE', t)

    def decide(self, r, t, value, version=0.0):
        if self.decision[r][t]:
            return
        self.decision[r][t] = (value, version)
        self.trace.append(f'region {r} decides T{t} {value} over {version:.2f}')
        if self.coordinator[t] == r:
            self.runs[t] = False
            if not self.answer[t]:
                self.answer[t] = 'ok' if value == COMMIT else 'refused'

    def free(self, t):
        c = self.coordinator[t]
        return c not in self.lost and self.runs[t] and not self.promise[c][t] and not self.accepted[c][t]

    def try_commit(self, t):
        c = self.coordinator[t]
        if self.free(t) and len(self.yes[t]) >= self.q - 1:
            version = max(list(self.yes[t].values()) + [self.below(c, t)])
            self.decide(c, t, COMMIT, version)
            self.tell(c, 'DECIDED', t, COMMIT, version)

    def withdraw(self, t):
        c = self.coordinator[t]
        if self.free(t):
            self.accepted[c][t] = WITHDRAWN
            self.withdrawn[t] = {c}
            self.trace.append(f'region {c} withdraws T{t}')
            self.tell(c, 'WITHDRAW', t)

    def restart(self, r):
        self.trace.append(f'region {r} restarts')
        for key in [k for k in self.recovery if k[0] == r]:
            del self.recovery[key]
        for t in self.ids:
            if self.coordinator[t] != r or not self.sent[t] or not self.runs[t]:
                continue
            if self.broken != 'restart-forgets':
                self.withdraw(t)
            self.runs[t] = False
            self.yes[t] = {}

    def recover(self, r, t):
        if r in self.lost or self.decision[r][t]:
            return
        ballot = (self.promise[r][t] // self.n + 1) * self.n + r
        self.promise[r][t] = ballot
        self.recovery[r, t] = dict(ballot=ballot, replies={}, accepts=set(), value=None)
        self.trace.append(f'region {r} recovers T{t}, ballot {ballot}')
        self.tell(r, 'RECOVER', t, ballot)
        self.choose(r, t)

    def knows_abort(self, r, u):
        if self.decision[r][u]:
            return self.decision[r][u][0] == ABORT
        return bool(self.accepted[r][u]) and self.accepted[r][u][1] == ABORT

    def state(self, r, t):
        return dict(vote=self.vote[r][t], accepted=self.accepted[r][t], coordinator=r == self.coordinator[t],
                    proof=self.proof(r, t), below=self.below(r, t),
                    holds={u: self.named(r, u) for u in self.holders(r, t)},
                    aborted={u for u in self.ids if self.knows_abort(r, u)})

    def passes(self, t, u, replies, voters):
        """t may be accepted over u: too few are left to vote for u before t is decided. Whoever voted for t holds it, as do its
        coordinator and whoever accepted its COMMIT without holding u; none of them votes for u before."""
        if self.broken in ('passes-too-much', 'passes-nothing'):
            return self.broken == 'passes-too-much'
        keeps = voters | {self.coordinator[t]}
        keeps |= {x for x, s in replies.items() if s['accepted'] and s['accepted'][1] == COMMIT and u not in s['holds']}
        return len(set(self.all) - keeps - {self.coordinator[u]}) < self.q - 1

    def choose(self, r, t):
        now = self.recovery[r, t]
        if self.promise[r][t] != now['ballot'] or self.decision[r][t]:
            del self.recovery[r, t]
            return
        replies = dict(now['replies'])
        replies[r] = self.state(r, t)
        if now['value'] or len(replies) < self.q:
            return
        seen = replies.values()
        votes = [s['vote'] for s in seen if s['vote'] is not None]
        accepted = [s['accepted'] for s in seen if s['accepted']]
        ballots = [a for a in accepted if a[0] > 0]
        held = {u: v for s in seen for u, v in s['holds'].items()}
        for s in seen:
            for u, v in s['holds'].items():
                held[u] = max(held[u], v)
        aborted = {u for s in seen for u in s['aborted']}
        out = {self.coordinator[t]} if self.broken != 'coordinator-unseen-counted' else set()
        if self.broken == 'conflicting-never-votes':
            out |= {self.coordinator[u] for u in held}
        elif self.broken not in ('conflicting-counted', 'passes-too-much'):
            # It runs u and has not voted for t: had it decided t before, u would name t; had it decided u, t would be too old
            # for it, or u's ABORT would be on a majority.
            out |= {self.coordinator[u] for u, v in held.items()
                    if self.stamp[u] > self.stamp[t] > v and u not in aborted}
        unseen = [x for x in self.all if x not in replies and x not in out]
        version = max([s['below'] for s in seen] + votes)
        voters = {x for x, s in replies.items() if s['vote'] is not None}
        if self.broken != 'voters-not-carried':
            voters = voters.union(*(a[3] for a in accepted))
        over = {u for u in held if self.passes(t, u, replies, voters)}
        if self.stamp[t] in held.values() and self.broken not in ('named-ignored', 'conflicting-never-votes'):
            value = (COMMIT, version)
        elif any(s['proof'] for s in seen) and self.broken != 'proof-ignored':
            value = (ABORT, 0.0)
        elif ballots:
            value = max(ballots, key=lambda a: a[0])[1:3]
        elif accepted or any(s['coordinator'] for s in seen):
            value = (ABORT, 0.0)
        elif len(votes) + len(unseen) < self.q - 1:
            value = (ABORT, 0.0)
        elif held and len(votes) < self.q - 1:
            return  # what is in the way is recovered first; another reply may do
        else:
            value = (COMMIT, version)
        now['value'] = value
        self.trace.append(f'region {r} chooses {value[0]} over {value[1]:.2f} for T{t}, ballot {now["ballot"]}')
        self.accept(r, r, t, now['ballot'], value, frozenset(voters), over)
        self.tell(r, 'ACCEPT', t, now['ballot'], value, frozenset(voters), over)

    def accept(self, r, source, t, ballot, value, voters, over):
        if self.decision[r][t]:
            self.send(r, source, 'DECIDED', t, *self.decision[r][t])
            return
        if self.promise[r][t] > ballot:
            return
        if value[0] == COMMIT:
            for u in self.ids:
                if u != t and self.coordinator[u] == r and u in self.holders(r, t, True):
                    self.withdraw(u)
            in_way = [u for u in self.holders(r, t, True) if u not in over or
                      (self.accepted[r][u] and self.accepted[r][u][1] == COMMIT)]
            if self.fenced(r, t) or (in_way and self.broken != 'accept-unlocked') or \
                    (self.proof(r, t) and self.broken != 'accept-unproven'):
                return
        self.promise[r][t] = ballot
        self.accepted[r][t] = (ballot,) + value + (voters if value[0] == COMMIT else frozenset(),)
        self.trace.append(f'region {r} accepts {value[0]} for T{t}, ballot {ballot}')
        if source == r:
            self.accepts(r, t, ballot, r)
        else:
            self.send(r, source, 'ACCEPTED', t, ballot)

    def accepts(self, r, t, ballot, source):
        now = self.recovery.get((r, t))
        if not now or now['ballot'] != ballot or not now['value']:
            return
        now['accepts'].add(source)
        if len(now['accepts']) >= self.q and not self.decision[r][t]:
            self.decide(r, t, *now['value'])
            self.tell(r, 'DECIDED', t, *now['value'])

    def deliver(self, message):
        source, r, kind, t = message[:4]
        if r in self.lost:
            return
        if self.decision[r][t] and kind in ('PREPARE', 'RECOVER'):
            self.send(r, source, 'DECIDED', t, *self.decision[r][t])
        elif kind == 'PREPARE':
            self.on_prepare(r, source, t)
        elif kind == 'VOTE':
            if self.runs[t]:
                self.yes[t][source] = message[4]
                self.try_commit(t)
        elif kind == 'WITHDRAW':
            if not self.decision[r][t] and not self.promise[r][t] and not self.accepted[r][t]:
                self.accepted[r][t] = WITHDRAWN
            if self.accepted[r][t] == WITHDRAWN and not self.promise[r][t]:
                self.send(r, source, 'WITHDRAWN', t)
        elif kind == 'WITHDRAWN':
            self.withdrawn[t].add(source)
            if len(self.withdrawn[t]) >= self.q and not self.decision[r][t]:
                self.decide(r, t, ABORT)
                self.tell(r, 'DECIDED', t, ABORT, 0.0)
        elif kind == 'DECIDED':
            self.decide(r, t, *message[4:6])
        elif kind == 'RECOVER':
            if message[4] > self.promise[r][t]:
                self.promise[r][t] = message[4]
                self.send(r, source, 'PROMISED', t, message[4], self.state(r, t))
        elif kind == 'PROMISED':
            now = self.recovery.get((r, t))
            if now and now['ballot'] == message[4] and not now['value']:
                now['replies'][source] = message[5]
                self.choose(r, t)
        elif kind == 'ACCEPT':
            self.accept(r, source, t, *message[4:8])
        elif kind == 'ACCEPTED':
            self.accepts(r, t, message[4], source)

    def on_prepare(self, r, source, t):
        if self.promise[r][t] or self.accepted[r][t] or self.fenced(r, t):
            return
        if self.vote[r][t] is None:
            in_way = self.holders(r, t)
            for u in in_way:
                if self.coordinator[u] == r and self.stamp[t] < self.stamp[u]:
                    self.withdraw(u)
            if self.broken == 'wound-early':
                in_way = [u for u in in_way if not (self.coordinator[u] == r and self.accepted[r][u] == WITHDRAWN)]
            if in_way or self.row_refuses(r, t):
                return
            self.vote[r][t] = max(self.base[t], self.below(r, t))
            self.trace.append(f'region {r} votes YES on T{t} over {self.vote[r][t]:.2f}')
        self.send(r, source, 'VOTE', t, self.vote[r][t])

    # -- judging

    def check(self):
        for t in self.ids:
            found = {d for d in (self.decision[r][t] for r in self.all) if d}
            if len({d[0] for d in found}) > 1:
                return f'split T{t}'
            if len(found) > 1:
                return f'two versions replaced T{t}'
            values = {d[0] for d in found}
            if self.answer[t] == 'ok' and ABORT in values or self.answer[t] == 'refused' and COMMIT in values:
                return f'answer contradicted T{t}'
        done = [t for t in self.ids if any(self.decision[r][t] and self.decision[r][t][0] == COMMIT for r in self.all)]
        for t in done:
            if self.cas[t] and any(self.stamp[u] < self.stamp[t] for u in done if u != t):
                return f'condition broken T{t}'
            if any(u in done and self.stamp[u] > self.stamp[t] for u in self.before[t]):
                return f'real time broken T{t}'
        return None

    def step(self, loss):
        rng, x = self.rng, self.rng.random()
        t = rng.choice(self.ids)
        if x < .08:
            self.start(t)
        elif x < .09 and len(self.lost) < self.n - self.q:
            self.lost.add(rng.randrange(self.n))
            self.trace.append(f'lost: {self.lost}')
        elif x < .10:
            r = rng.randrange(self.n)
            if r not in self.lost:
                self.restart(r)
        elif x < .15:
            if self.sent[t]:
                self.recover(rng.randrange(self.n), t)
        elif x < .17:
            self.withdraw(t)
        elif x < .19:
            if self.runs[t] and self.coordinator[t] not in self.lost:
                self.tell(self.coordinator[t], 'PREPARE', t)
        elif self.messages:
            message = self.messages.pop(rng.randrange(len(self.messages)))
            if rng.random() >= loss:
                if rng.random() < .05:
                    self.messages.append(message)
                self.deliver(message)

    def go(self):
        loss = self.rng.choice([0, .1, .4])
        for _ in range(self.rng.choice([60, 150, 400])):
            self.step(loss)
            if (wrong := self.check()):
                return wrong
        for _ in range(60):
            for t in self.ids:
                for r in self.all:
                    if self.sent[t] and r not in self.lost and not self.decision[r][t]:
                        self.recover(r, t)
                        while self.messages:
                            self.deliver(self.messages.pop(0))
                            if (wrong := self.check()):
                                return wrong
        for t in self.ids:
            for r in self.all:
                if r not in self.lost and self.holds(r, t):
                    return f'stuck T{t}'
        return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('runs', type=int)
    parser.add_argument('regions', type=int)
    parser.add_argument('transactions', type=int)
    parser.add_argument('--break', dest='broken', choices=BREAKS)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--trace', action='store_true')
    arguments = parser.parse_args()
    wrong, commits = {}, 0
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        run = Run(arguments.regions, arguments.transactions, random.Random(seed), arguments.broken)
        found = run.go()
        commits += 'ok' in run.answer
        if found:
            kind = found.rsplit(' ', 1)[0]
            wrong.setdefault(kind, []).append(seed)
            if arguments.trace and len(wrong[kind]) == 1:
                print(f'seed {seed}: {found}; coordinators {run.coordinator}, compare-and-set {run.cas}')
                print('  ' + '\n  '.join(run.trace))
    print(f'{arguments.runs} runs, {commits} with a commit:', {k: (len(v), v[0]) for k, v in wrong.items()} or 'nothing wrong')
    return 1 if set(wrong) - {'stuck'} else 3 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
