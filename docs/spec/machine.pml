/* SPDX-License-Identifier: Apache-2.0
 *
 * The strong commit as commit does it with three regions (machine.md), where commit.pml has the rules of
 * README.md. The names of steps are those of commit.pml; a comment names the function that a step follows.
 *
 * The network, the steps, the two transactions (0 is the older one), versions and progress are as in commit.pml. What differs is what
 * machine.md says: a coordinator's lock is durable before PREPARE leaves and nothing fences it; a younger transaction of t's coordinator
 * says that t is decided; a promise keeps new votes and starts off the key; a known commit is decided
 * without a further round; a value is proposed when its own region has accepted it; whose promise moved on recovers no more; an
 * ABORT of which a region logged nothing is forgotten when it restarts.
 *
 * A reply is evaluated when it is sent: what the recoverer chooses depends on that and on what it saw at home when it promised.
 *
 * Switches (-D): as commit.pml; LATE: the coordinator's COMMIT is in its log for a while before it is durable; NO_PROGRESS: being
 * stuck is no error. */

#define REGIONS 3
#define QUORUM	2
#ifndef TXNS
#define TXNS 2
#endif
#ifndef BALLOTS_0
#define BALLOTS_0 1
#endif
#ifndef BALLOTS_1
#define BALLOTS_1 1
#endif
#if TXNS == 1 || BALLOTS_0 > BALLOTS_1
#define BALLOTS BALLOTS_0
#else
#define BALLOTS BALLOTS_1
#endif
#define BALLOTS_OF(t) ((t) == 0 -> BALLOTS_0 : BALLOTS_1)
#ifndef COORDINATOR_1
#define COORDINATOR_1 1 /* 0: both transactions come from one region */
#endif
#define BLIND 0
#define CAS   1 /* expects the first version */
#define CHAIN 2 /* expects T0's version: T1 only */
#ifndef KIND_0
#define KIND_0 BLIND
#endif
#ifndef KIND_1
#define KIND_1 BLIND
#endif
#ifndef RESTARTS
#define RESTARTS 0
#endif
#ifndef LOSSES
#define LOSSES 0
#endif
#ifdef ALL
#define YES_NEEDED (REGIONS - 1)
#else
#define YES_NEEDED (QUORUM - 1)
#endif

#define NONE	     0
#define ABORT	     1
#define COMMIT_FIRST 2
#define COMMIT_OTHER 3
#define KNOWN	     4 /* of a choice: t is committed */
#define COMMITS(value) ((value) >= COMMIT_FIRST)
#define OK	1
#define REFUSED 2

/* What one region knows of one transaction. Durable but for `told`, a message, and an ABORT that is `soft`. */
typedef Slot {
	unsigned vote : 2;
	unsigned told : 2;
	unsigned promise : 2;
	unsigned accepted : 2;
	unsigned accepted_ballot : 4; /* 0: withdrawn */
	unsigned decision : 2;
	bit soft; /* nothing of it is in the log */
};
typedef Txn {
	bit sent;
	unsigned base : 2;
	bit running;		      /* the lock: on disk before PREPARE leaves */
	unsigned pending : 2;	      /* LATE: COMMIT appended, not yet durable */
	bit abort_sent;
	unsigned abort_acks : 3;
	unsigned answer : 2;
	unsigned out : 2;	      /* DECIDED, on its way for ever */
};
typedef Ballot {
	unsigned owner : 2;
	bit asked;
	bit waiting;
	/* state_of() of the owner, as it was when it promised */
	bit own_committed;
	bit own_dead;
	bit own_withdrawn;
	bit own_held;
	bit own_newer;
	unsigned choice : 3;	      /* after a reply of one other */
	unsigned value : 2;	      /* ACCEPT */
	unsigned accepts : 3;
	bit accepts_newer;	      /* ACCEPTED names T0 as what is below T1 */
};

Slot slot[REGIONS * TXNS];
Txn txn[TXNS];
Ballot ballot[TXNS * BALLOTS];
unsigned lost : 3;
unsigned restarts : 2;
unsigned losses : 1;

hidden byte c_round, c_t, c_q, c_p, c_ballot, c_value, c_accepts, c_newer;

#define S(r, t) slot[(r) * TXNS + (t)]
#define B(t, b) ballot[(t) * BALLOTS + (b) - 1]
#define COORDINATOR(t) ((t) == 0 -> 0 : COORDINATOR_1)
#define BIT(r) (1 << (r))
#define HAS(set, r) (((set) >> (r)) & 1)
#define COUNT(set) (HAS(set, 0) + HAS(set, 1) + HAS(set, 2))
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define ALIVE(r) (!HAS(lost, r))
#define RUNS(r, t) (COORDINATOR(t) == (r) && txn[t].running)

#if TXNS == 2
#define OTHER(t) (1 - (t))
/* Its COMMIT is in the log, and the row in memory is the new one, before it is durable. */
#if defined(LATE) && defined(BREAK_BASE_NOT_DURABLE)
#define SHOWN(r, t) (COMMITS(S(r, t).decision) || (COORDINATOR(t) == (r) && txn[t].pending))
#else
#define SHOWN(r, t) COMMITS(S(r, t).decision)
#endif
#define TOP(r, t) ((t) == 1 && SHOWN(r, 0) -> COMMIT_OTHER : COMMIT_FIRST)
/* check_rows() */
#define CONDITION_HOLDS(r, t) ((t) == 0 -> !COMMITS(S(r, 1).decision) : \
	(KIND_1 == BLIND || (KIND_1 == CAS && !SHOWN(r, 0)) || (KIND_1 == CHAIN && SHOWN(r, 0))))
/* In the way of all, and by a promise alone, of votes and starts only: holds_by_promise(). */
#if defined(LATE) && defined(BREAK_BASE_NOT_DURABLE)
#define GONE(r, u) (S(r, u).decision != NONE || (COORDINATOR(u) == (r) && txn[u].pending))
#else
#define GONE(r, u) (S(r, u).decision != NONE)
#endif
#define HOLDS(r, u) (!GONE(r, u) && (S(r, u).vote != NONE || COMMITS(S(r, u).accepted) || RUNS(r, u)))
#ifdef BREAK_PROMISE_FREE
#define KEEPS_OFF(r, u) HOLDS(r, u)
#else
#define KEEPS_OFF(r, u) (HOLDS(r, u) || (!GONE(r, u) && S(r, u).promise != 0))
#endif
/* operations[].previous of T1, held at r */
#define NAMES(r) (S(r, 1).vote == COMMIT_OTHER || S(r, 1).accepted == COMMIT_OTHER || (RUNS(r, 1) && txn[1].base == COMMIT_OTHER))
#define SAME_COORDINATOR (COORDINATOR_1 == 0)
#else
#define OTHER(t) 0
#define TOP(r, t) COMMIT_FIRST
#define CONDITION_HOLDS(r, t) 1
#define KEEPS_OFF(r, u) 0
#endif

/* ---- state_of() ---- */

#define IS_WITHDRAWN(r, t) (S(r, t).accepted == ABORT && S(r, t).accepted_ballot == 0)
#if TXNS == 2
#ifdef BREAK_COMMITTED_IGNORED
#define STATE_COMMITTED(r, t) 0
#else
#define STATE_COMMITTED(r, t) ((t) == 0 && (S(r, 1).decision == COMMIT_OTHER || (HOLDS(r, 1) && NAMES(r))))
#endif
#ifdef BREAK_DEAD_IGNORED
#define STATE_DEAD(r, t) 0
#else
#define STATE_DEAD(r, t) ((t) == 0 && S(r, 1).decision == COMMIT_FIRST)
#endif
/* went_on() */
#ifdef BREAK_WENT_ON_IGNORED
#define PASSES(r, t) ((t) == 0 && NAMES(r))
#else
#define PASSES(r, t) ((t) == 0 && (NAMES(r) || SAME_COORDINATOR))
#endif
#define STATE_HELD(r, t) (HOLDS(r, OTHER(t)) && !PASSES(r, t))
#define ROW_NEWER(r, t) ((t) == 1 && COMMITS(S(r, 0).decision))
#else
#define STATE_COMMITTED(r, t) 0
#define STATE_DEAD(r, t) 0
#define STATE_HELD(r, t) 0
#define ROW_NEWER(r, t) 0
#endif
#define STATE_WITHDRAWN(r, t) IS_WITHDRAWN(r, t)
#define STATE_NEWER(r, t) ((t) == 1 && (ROW_NEWER(r, t) || S(r, t).vote == COMMIT_OTHER || S(r, t).accepted == COMMIT_OTHER))

/* What a reply says. Its sender's own COMMIT may be in its log and not durable: it must not show. */
#if defined(LATE) && defined(BREAK_REPLY_NOT_DURABLE)
#define OWN_PENDING(r, t) ((COORDINATOR(OTHER(t)) == (r)) * txn[OTHER(t)].pending)
#else
#define OWN_PENDING(r, t) NONE
#endif
#define REPLY_COMMITTED(r, t) (STATE_COMMITTED(r, t) || ((t) == 0 && OWN_PENDING(r, t) == COMMIT_OTHER))
#define REPLY_DEAD(r, t) (STATE_DEAD(r, t) || ((t) == 0 && OWN_PENDING(r, t) == COMMIT_FIRST))
#define REPLY_HELD(r, t) (STATE_HELD(r, t) && OWN_PENDING(r, t) == NONE)
#define REPLY_ROW_NEWER(r, t) (ROW_NEWER(r, t) || ((t) == 1 && COMMITS(OWN_PENDING(r, t))))
#define REPLY_NEWER(r, t) (STATE_NEWER(r, t) || REPLY_ROW_NEWER(r, t))

/* ---- choose(), of the owner o and the reply of r ---- */

#ifdef BREAK_COORDINATOR_COUNTED
#define COORDINATES(o, r, t) 0
#else
#define COORDINATES(o, r, t) ((o) == COORDINATOR(t) || (r) == COORDINATOR(t))
#endif
#ifdef BREAK_ACCEPTED_IGNORED
#define HIGHEST(o, r, t) 0
#else
#define HIGHEST(o, r, t) MAX(S(o, t).accepted_ballot, S(r, t).accepted_ballot)
#endif
#define HIGHEST_VALUE(o, r, t) (S(o, t).accepted_ballot > S(r, t).accepted_ballot -> S(o, t).accepted : S(r, t).accepted)
#ifdef BREAK_SILENCE_ABORTS
#define POTENTIAL(o, r, t) 0
#else
#define POTENTIAL(o, r, t) ((S(o, t).vote != NONE) + (S(r, t).vote != NONE)) /* nobody is unseen but the coordinator */
#endif
#ifdef BREAK_HELD_PASSED
#define PASS(held) 1
#else
#define PASS(held) (!(held))
#endif
/* A condition is judged by rows; what the owner saw is joined: with CAS nothing but a row says that T0 is below. */
#define CHOOSE(committed, dead, withdrawn, held, newer, o, r, t) \
	((committed) -> KNOWN : ((dead) -> ABORT : \
	(HIGHEST(o, r, t) > 0 -> (COMMITS(HIGHEST_VALUE(o, r, t)) -> ((newer) -> COMMIT_OTHER : COMMIT_FIRST) : ABORT) : \
	((withdrawn) || COORDINATES(o, r, t) -> ABORT : \
	(POTENTIAL(o, r, t) < YES_NEEDED -> ABORT : \
	((t) == 1 && KIND_1 == CAS && (newer) -> ABORT : \
	(PASS(held) -> ((newer) -> COMMIT_OTHER : COMMIT_FIRST) : NONE)))))))

/* ---- may_accept() ---- */

#if TXNS == 2
#ifdef BREAK_ACCEPT_UNLOCKED
#define CONFLICT(r, t) 0
#elif defined(BREAK_WENT_ON_IGNORED)
#define CONFLICT(r, t) HOLDS(r, OTHER(t))
#else
#define CONFLICT(r, t) (HOLDS(r, OTHER(t)) && !((t) == 0 && SAME_COORDINATOR))
#endif
#ifdef BREAK_ACCEPT_UNPROVEN
#define REFUTED(r, t) 0
#else
#define REFUTED(r, t) ((t) == 0 -> S(r, 1).decision == COMMIT_FIRST : (KIND_1 == CAS && COMMITS(S(r, 0).decision)))
#endif
#else
#define CONFLICT(r, t) 0
#define REFUTED(r, t) 0
#endif
#define MAY_ACCEPT(r, t, value) (!COMMITS(value) || (!CONFLICT(r, t) && !REFUTED(r, t)))

/* ---- what can no longer matter is cleared ---- */

inline forget_own(t, b)
{
	B(t, b).own_committed = 0;
	B(t, b).own_dead = 0;
	B(t, b).own_withdrawn = 0;
	B(t, b).own_held = 0;
	B(t, b).own_newer = 0
}

inline stop_recovery(r, t, b)
{
	if
	:: B(t, b).waiting && B(t, b).owner == (r) ->
		B(t, b).waiting = 0;
		B(t, b).owner = 0;
		B(t, b).accepts = 0;
		B(t, b).accepts_newer = 0;
		B(t, b).choice = 0;
		forget_own(t, b)
	:: else
	fi
}

inline stop_recoveries(r, t)
{
	stop_recovery(r, t, 1)
#if BALLOTS >= 2
	; stop_recovery(r, t, 2)
#endif
#if BALLOTS >= 3
	; stop_recovery(r, t, 3)
#endif
}

inline forget_votes(t)
{
	S(0, t).told = NONE;
	S(1, t).told = NONE;
	S(2, t).told = NONE
}

/* ---- safety ---- */

inline decide(r, t, outcome)
{
	assert(txn[t].out == NONE || txn[t].out == (outcome)); /* one outcome, and one version, everywhere and for ever */
	txn[t].out = outcome;
	S(r, t).soft = ((outcome) == ABORT && S(r, t).vote == NONE && S(r, t).promise == 0 && S(r, t).accepted == NONE &&
		RESTARTS > 0 -> 1 : 0);
	S(r, t).decision = outcome;
	S(r, t).vote = NONE;
	S(r, t).promise = 0;
	S(r, t).accepted = NONE;
	S(r, t).accepted_ballot = 0;
	stop_recoveries(r, t);
	if
	:: (r) == COORDINATOR(t) ->
		if
		:: txn[t].running && txn[t].answer == NONE -> txn[t].answer = (COMMITS(S(r, t).decision) -> OK : REFUSED)
		:: else
		fi;
		txn[t].running = 0;
		txn[t].pending = NONE;
		txn[t].abort_acks = 0;
		forget_votes(t)
	:: else
	fi;
	assert(txn[t].answer != OK || COMMITS(txn[t].out));
	assert(txn[t].answer != REFUSED || !COMMITS(txn[t].out));
#if TXNS == 2
	/* T1 replaced the first version: then T0 must never be. It covers conditions, proofs and the order of real time. */
	assert(!(COMMITS(txn[0].out) && txn[1].out == COMMIT_FIRST));
	/* T1 replaced T0, or expected it: then T0 is. */
	assert(!(txn[1].out == COMMIT_OTHER && txn[0].out == ABORT));
	assert(!(KIND_1 == CHAIN && COMMITS(txn[1].out) && !COMMITS(txn[0].out)))
#endif
}

/* ---- commit ---- */

/* request_start(), begin(): stamps of one region only grow, over restarts too. */
inline start(t)
{
	d_step {
		!txn[t].sent && ALIVE(COORDINATOR(t)) &&
#if TXNS == 2
			!((t) == 0 && COORDINATOR_1 == 0 && txn[1].sent) &&
#endif
			CONDITION_HOLDS(COORDINATOR(t), t) && !KEEPS_OFF(COORDINATOR(t), OTHER(t)) ->
		printf("T%d starts at region %d\n", t, COORDINATOR(t));
		txn[t].sent = 1;
		txn[t].base = TOP(COORDINATOR(t), t);
		txn[t].running = 1
	}
}

#ifdef BREAK_COMMIT_AFTER_PROMISE
#define CAN_COMMIT(t) txn[t].running
#else
#define CAN_COMMIT(t) (txn[t].running && S(COORDINATOR(t), t).promise == 0 && S(COORDINATOR(t), t).accepted == NONE)
#endif
#ifdef BREAK_VOTE_UNLOCKED
#define VOTE_HOLDS(r, t) 0
#else
#define VOTE_HOLDS(r, t) KEEPS_OFF(r, OTHER(t))
#endif
#ifdef BREAK_BASE_NOT_SENT
#define BASE_SENT(t) NONE
#else
#define BASE_SENT(t) txn[t].base
#endif
/* participant_try() */
inline give_vote(r, t)
{
	d_step {
		txn[t].sent && (r) != COORDINATOR(t) && ALIVE(r) && S(r, t).vote == NONE && S(r, t).decision == NONE &&
#ifndef BREAK_VOTE_AFTER_PROMISE
			S(r, t).promise == 0 &&
#endif
			S(r, t).accepted == NONE && CONDITION_HOLDS(r, t) && !VOTE_HOLDS(r, t) ->
		printf("region %d votes YES on T%d\n", r, t);
		S(r, t).vote = MAX(TOP(r, t), BASE_SENT(t));
		S(r, t).told = (CAN_COMMIT(t) -> S(r, t).vote : NONE)
	}
}

#define ENOUGH(set) (COUNT(set) >= YES_NEEDED)
#define TOLD(r, t, set) (!HAS(set, r) || S(r, t).told)
#define VERSION_TOLD(r, t, set) (HAS(set, r) -> S(r, t).told : NONE)
#define MAY_COMMIT(t, set) (CAN_COMMIT(t) && !txn[t].pending && ALIVE(COORDINATOR(t)) && ENOUGH(set) && !HAS(set, COORDINATOR(t)) && \
	TOLD(0, t, set) && TOLD(1, t, set) && TOLD(2, t, set) && S(COORDINATOR(t), t).decision == NONE && \
	CONDITION_HOLDS(COORDINATOR(t), t))

/* coordinator_try() */
inline commit(t, set)
{
	d_step {
		MAY_COMMIT(t, set) ->
		printf("region %d logs COMMIT of T%d with the votes of %d\n", COORDINATOR(t), t, set);
		c_value = MAX(VERSION_TOLD(0, t, set), MAX(VERSION_TOLD(1, t, set), VERSION_TOLD(2, t, set)));
		c_value = MAX(c_value, MAX(txn[t].base, TOP(COORDINATOR(t), t)));
#ifdef LATE
		txn[t].pending = c_value
#else
		decide(COORDINATOR(t), t, c_value)
#endif
	}
}

#ifdef LATE
inline sync(t)
{
	d_step {
		txn[t].pending && ALIVE(COORDINATOR(t)) ->
		printf("region %d: COMMIT of T%d is durable\n", COORDINATOR(t), t);
		c_value = txn[t].pending;
		decide(COORDINATOR(t), t, c_value)
	}
}
#define DECIDED_HERE(t) txn[t].pending
#else
#define DECIDED_HERE(t) 0
#endif

/* withdraw() */
inline withdraw(t)
{
	d_step {
		txn[t].running && ALIVE(COORDINATOR(t)) && S(COORDINATOR(t), t).decision == NONE && S(COORDINATOR(t), t).promise == 0 &&
			S(COORDINATOR(t), t).accepted == NONE && !DECIDED_HERE(t) ->
		printf("region %d withdraws T%d\n", COORDINATOR(t), t);
		S(COORDINATOR(t), t).accepted = ABORT;
		txn[t].abort_sent = 1;
		txn[t].abort_acks = txn[t].abort_acks | BIT(COORDINATOR(t));
		forget_votes(t)
#ifdef BREAK_REFUSE_EARLY
		; txn[t].answer = REFUSED
#endif
	}
}

/* participant_withdraw() */
inline receive_abort(r, t)
{
	d_step {
		txn[t].abort_sent && (r) != COORDINATOR(t) && ALIVE(r) && S(r, t).decision == NONE &&
#ifndef BREAK_ABORT_AFTER_PROMISE
			S(r, t).promise == 0 &&
#endif
			S(r, t).accepted == NONE ->
		printf("region %d logs the ABORT of T%d\n", r, t);
		S(r, t).accepted = ABORT;
		txn[t].abort_acks = (S(COORDINATOR(t), t).decision == NONE -> txn[t].abort_acks | BIT(r) : 0)
	}
}

/* coordinator_withdrawn(): also when it has promised since. */
#ifdef BREAK_WITHDRAW_ALONE
#define WITHDRAWN_ENOUGH(set) ((set) != 0)
#else
#define WITHDRAWN_ENOUGH(set) (COUNT(set) >= QUORUM)
#endif
inline conclude_abort(t)
{
	d_step {
		WITHDRAWN_ENOUGH(txn[t].abort_acks) && ALIVE(COORDINATOR(t)) && S(COORDINATOR(t), t).decision == NONE ->
		printf("region %d: ABORT of T%d is on a majority\n", COORDINATOR(t), t);
		decide(COORDINATOR(t), t, ABORT)
	}
}

/* participant_decided(), streamed() */
inline learn(r, t)
{
	d_step {
		ALIVE(r) && S(r, t).decision == NONE && txn[t].out != NONE && !(COORDINATOR(t) == (r) && DECIDED_HERE(t)) ->
		printf("region %d learns of T%d: %d\n", r, t, txn[t].out);
		c_value = txn[t].out;
		decide(r, t, c_value)
	}
}

/* ---- recovery ---- */

inline end_below(r, t, b, promised)
{
	if
	:: b < promised -> stop_recovery(r, t, b)
	:: else
	fi
}

inline raise_promise(r, t, b)
{
	S(r, t).promise = b;
#if BALLOTS >= 2
	end_below(r, t, 1, b);
#endif
#if BALLOTS >= 3
	end_below(r, t, 2, b);
#endif
	if
	:: (r) == COORDINATOR(t) && !CAN_COMMIT(t) -> forget_votes(t)
	:: else
	fi
}

/* recover(), recover_own() */
inline recover(r, t, b)
{
	d_step {
		b <= BALLOTS_OF(t) && txn[t].sent && ALIVE(r) && !B(t, b).asked && S(r, t).decision == NONE && S(r, t).promise < b &&
			!(COORDINATOR(t) == (r) && DECIDED_HERE(t)) ->
		printf("region %d recovers T%d, ballot %d\n", r, t, b);
		raise_promise(r, t, b);
		B(t, b).owner = r;
		B(t, b).asked = 1;
		B(t, b).waiting = 1;
		B(t, b).own_committed = STATE_COMMITTED(r, t);
		B(t, b).own_dead = STATE_DEAD(r, t);
		B(t, b).own_withdrawn = STATE_WITHDRAWN(r, t);
		B(t, b).own_held = STATE_HELD(r, t);
		B(t, b).own_newer = STATE_NEWER(r, t)
	}
}

#define MAY_PROMISE(r, t, b) (B(t, b).asked && ALIVE(r) && S(r, t).decision == NONE && S(r, t).promise < b && \
	!(COORDINATOR(t) == (r) && DECIDED_HERE(t)))

inline give_promise_unheard(r, t, b)
{
	d_step {
		MAY_PROMISE(r, t, b) ->
		printf("region %d promises T%d, ballot %d, unheard\n", r, t, b);
		raise_promise(r, t, b)
	}
}

/* recover_asked(), recover_promise_send(). The owner's vote and acceptance are as when it promised: it has promised. */
inline give_promise(r, t, b)
{
	d_step {
		MAY_PROMISE(r, t, b) && B(t, b).waiting && B(t, b).choice == NONE && B(t, b).value == NONE ->
		printf("region %d promises T%d, ballot %d\n", r, t, b);
		raise_promise(r, t, b);
		B(t, b).choice = CHOOSE(B(t, b).own_committed || REPLY_COMMITTED(r, t), B(t, b).own_dead || REPLY_DEAD(r, t),
			B(t, b).own_withdrawn || STATE_WITHDRAWN(r, t), B(t, b).own_held || REPLY_HELD(r, t),
			B(t, b).own_newer || REPLY_NEWER(r, t), B(t, b).owner, r, t);
		if
		:: B(t, b).choice != NONE -> forget_own(t, b)
		:: else /* not yet; the reply of the third may do */
		fi
	}
}

inline accept_value(r, t, b, newer)
{
	raise_promise(r, t, b);
	S(r, t).accepted_ballot = b;
	if
	:: COMMITS(B(t, b).value) ->
		/* previous_join(): one word for what the vote named and what was accepted */
		S(r, t).accepted = MAX(B(t, b).value, MAX(S(r, t).accepted, S(r, t).vote));
		S(r, t).vote = (S(r, t).vote != NONE -> S(r, t).accepted : NONE)
	:: else -> S(r, t).accepted = ABORT
	fi;
	if
	:: B(t, b).waiting ->
		B(t, b).accepts = B(t, b).accepts | BIT(r);
		B(t, b).accepts_newer = B(t, b).accepts_newer || (COMMITS(B(t, b).value) && (newer))
	:: else
	fi
}

/* propose() */
inline choose(r, t, b)
{
	d_step {
		B(t, b).waiting && B(t, b).owner == (r) && B(t, b).choice != NONE && B(t, b).value == NONE && S(r, t).decision == NONE &&
			S(r, t).promise == b && (B(t, b).choice == KNOWN || MAY_ACCEPT(r, t, B(t, b).choice)) ->
		printf("region %d chooses %d for T%d, ballot %d\n", r, B(t, b).choice, t, b);
		if
		:: B(t, b).choice == KNOWN ->
			decide(r, t, COMMIT_FIRST)
		:: else ->
			B(t, b).value = B(t, b).choice;
			B(t, b).choice = 0;
			accept_value(r, t, b, ROW_NEWER(r, t))
		fi
	}
}

/* recover_accept() */
inline accept(r, t, b)
{
	d_step {
		B(t, b).value != NONE && ALIVE(r) && S(r, t).decision == NONE && S(r, t).accepted_ballot != b &&
#ifndef BREAK_ACCEPT_OLD
			S(r, t).promise <= b &&
#endif
			MAY_ACCEPT(r, t, B(t, b).value) && !(COORDINATOR(t) == (r) && DECIDED_HERE(t)) ->
		printf("region %d accepts %d for T%d, ballot %d\n", r, B(t, b).value, t, b);
		c_newer = REPLY_ROW_NEWER(r, t);
		accept_value(r, t, b, c_newer)
	}
}

/* accept_count() */
#ifdef BREAK_DUPLICATE_ACCEPTS
#define ACCEPTS_ENOUGH(set) ((set) != 0)
#else
#define ACCEPTS_ENOUGH(set) (COUNT(set) >= QUORUM)
#endif
inline conclude(r, t, b)
{
	d_step {
		B(t, b).waiting && B(t, b).owner == (r) && B(t, b).value != NONE && S(r, t).decision == NONE && ACCEPTS_ENOUGH(B(t, b).accepts) ->
		c_value = B(t, b).value;
		if
		:: COMMITS(c_value) ->
			c_value = MAX(c_value, S(r, t).accepted);
			c_value = (B(t, b).accepts_newer || ROW_NEWER(r, t) -> COMMIT_OTHER : c_value)
		:: else
		fi;
		printf("region %d decides T%d: %d, ballot %d\n", r, t, c_value, b);
		decide(r, t, c_value)
	}
}

/* ---- crashes ---- */

inline stop(r, t)
{
	if
	:: COORDINATOR(t) == (r) ->
		txn[t].pending = NONE;
		forget_votes(t)
	:: else
	fi;
	stop_recoveries(r, t)
}

/* replay(): the words are there, and its locks; the votes that it counted are not, nor its own WITHDRAWN. That it is withdrawn then
 * is left to chance. */
inline restart_transaction(r, t)
{
	stop(r, t);
	if
	:: COORDINATOR(t) == (r) ->
#ifdef BREAK_LOCK_NOT_DURABLE
		txn[t].running = 0;
#endif
		txn[t].abort_acks = txn[t].abort_acks & (7 - BIT(r))
	:: else
	fi;
	if
	:: S(r, t).soft ->
		S(r, t).soft = 0;
		S(r, t).decision = NONE
	:: else
	fi;
#ifdef BREAK_VOTE_NOT_DURABLE
	S(r, t).vote = NONE;
#endif
#ifdef BREAK_PROMISE_NOT_DURABLE
	S(r, t).promise = 0
#endif
}

inline restart(r)
{
	d_step {
		restarts < RESTARTS && ALIVE(r) ->
		printf("region %d restarts\n", r);
		restarts++;
		restart_transaction(r, 0);
#if TXNS == 2
		restart_transaction(r, 1);
#endif
	}
}

inline lose_transaction(r, t)
{
	stop(r, t);
	if
	:: COORDINATOR(t) == (r) -> txn[t].running = 0
	:: else
	fi;
	S(r, t).vote = NONE;
	S(r, t).promise = 0;
	S(r, t).accepted = NONE;
	S(r, t).accepted_ballot = 0;
	S(r, t).soft = 0
}

inline lose(r)
{
	d_step {
		losses < LOSSES && ALIVE(r) ->
		printf("region %d loses its disk\n", r);
		losses++;
		lost = lost | BIT(r);
		lose_transaction(r, 0);
#if TXNS == 2
		lose_transaction(r, 1);
#endif
	}
}

/* ---- progress ---- */

/* Something of it is in the log of r, or it runs there: r's timer settles it. */
#define KEEPS(r, t) (S(r, t).decision == NONE && (S(r, t).vote != NONE || S(r, t).promise != 0 || S(r, t).accepted != NONE || RUNS(r, t)))
#define UNSETTLED(t, p, q) (KEEPS(p, t) || KEEPS(q, t))

/* One recovery of c_t by c_p and c_q, nothing lost. A coordinator that runs it withdraws: what it promises comes to the same. */
inline calm_recover()
{
	c_ballot++;
	if
	:: S(c_p, c_t).decision != NONE || S(c_q, c_t).decision != NONE -> c_value = MAX(S(c_p, c_t).decision, S(c_q, c_t).decision)
	:: else ->
		c_value = CHOOSE(STATE_COMMITTED(c_p, c_t) || STATE_COMMITTED(c_q, c_t), STATE_DEAD(c_p, c_t) || STATE_DEAD(c_q, c_t),
			STATE_WITHDRAWN(c_p, c_t) || STATE_WITHDRAWN(c_q, c_t), STATE_HELD(c_p, c_t) || STATE_HELD(c_q, c_t),
			STATE_NEWER(c_p, c_t) || STATE_NEWER(c_q, c_t), c_p, c_q, c_t);
		if
		:: c_value == KNOWN -> c_value = COMMIT_FIRST
		:: c_value == NONE
		:: c_value == ABORT || COMMITS(c_value) ->
			c_accepts = 0;
			if
			:: MAY_ACCEPT(c_p, c_t, c_value) ->
				S(c_p, c_t).accepted = MAX(c_value, (COMMITS(c_value) -> S(c_p, c_t).accepted : NONE));
				S(c_p, c_t).accepted_ballot = c_ballot;
				c_accepts++
			:: else
			fi;
			if
			:: MAY_ACCEPT(c_q, c_t, c_value) ->
				S(c_q, c_t).accepted = MAX(c_value, (COMMITS(c_value) -> S(c_q, c_t).accepted : NONE));
				S(c_q, c_t).accepted_ballot = c_ballot;
				c_accepts++
			:: else
			fi;
			c_value = (c_accepts >= QUORUM -> c_value : NONE)
		fi
	fi;
	if
	:: c_value != NONE && S(c_p, c_t).decision == NONE -> decide(c_p, c_t, c_value)
	:: else
	fi;
	if
	:: c_value != NONE && S(c_q, c_t).decision == NONE -> decide(c_q, c_t, c_value)
	:: else
	fi
}

inline forget_all()
{
	c_q = 0;
	do
	:: c_q < REGIONS * TXNS ->
		slot[c_q].vote = 0;
		slot[c_q].told = 0;
		slot[c_q].promise = 0;
		slot[c_q].accepted = 0;
		slot[c_q].accepted_ballot = 0;
		slot[c_q].decision = 0;
		slot[c_q].soft = 0;
		c_q++
	:: else -> break
	od;
	c_t = 0;
	do
	:: c_t < TXNS ->
		txn[c_t].sent = 0;
		txn[c_t].base = 0;
		txn[c_t].running = 0;
		txn[c_t].pending = 0;
		txn[c_t].abort_sent = 0;
		txn[c_t].abort_acks = 0;
		txn[c_t].answer = 0;
		txn[c_t].out = 0;
		c_q = 1;
		do
		:: c_q <= BALLOTS ->
			B(c_t, c_q).owner = 0;
			B(c_t, c_q).asked = 0;
			B(c_t, c_q).waiting = 0;
			B(c_t, c_q).choice = 0;
			B(c_t, c_q).value = 0;
			B(c_t, c_q).accepts = 0;
			B(c_t, c_q).accepts_newer = 0;
			forget_own(c_t, c_q);
			c_q++
		:: else -> break
		od;
		c_t++
	:: else -> break
	od;
	lost = 0;
	restarts = 0;
	losses = 0
}

#define KNOWS(r, t) (COMMITS(S(r, t).decision) || (COORDINATOR(t) == (r) && txn[t].pending) || (S(r, t).decision == NONE && (S(r, t).vote != NONE || COMMITS(S(r, t).accepted))))

/* Of p and q alone, from this state on. Ends in one and the same state, whatever it began with. */
inline calm(p, q)
{
	d_step {
		ALIVE(p) && ALIVE(q) ->
		printf("calm among %d and %d\n", p, q);
		c_p = p; c_q = q;
		/* A strong read of these two meets whatever is committed: as such, or as something to wait for. */
		assert(!COMMITS(txn[0].out) || KNOWS(c_p, 0) || KNOWS(c_q, 0));
#if TXNS == 2
		assert(!COMMITS(txn[1].out) || KNOWS(c_p, 1) || KNOWS(c_q, 1));
#endif
		c_ballot = BALLOTS;
		c_round = 0;
		do
		:: c_round < 3 ->
			c_t = 0;
			do
			:: c_t < TXNS ->
				if
				:: UNSETTLED(c_t, c_p, c_q) -> calm_recover()
				:: else
				fi;
				c_t++
			:: else -> break
			od;
			c_round++
		:: else -> break
		od;
#ifndef NO_PROGRESS
		assert(!UNSETTLED(0, c_p, c_q)); /* stuck */
#if TXNS == 2
		assert(!UNSETTLED(1, c_p, c_q)); /* stuck */
#endif
#endif
		forget_all()
	}
}

/* ---- the adversary ---- */

#if BALLOTS == 0
#define EACH_BALLOT(step, r, t)
#elif BALLOTS == 1
#define EACH_BALLOT(step, r, t) :: step(r, t, 1)
#elif BALLOTS == 2
#define EACH_BALLOT(step, r, t) :: step(r, t, 1) :: step(r, t, 2)
#else
#define EACH_BALLOT(step, r, t) :: step(r, t, 1) :: step(r, t, 2) :: step(r, t, 3)
#endif
#define EACH_REGION_BALLOT(step, t) EACH_BALLOT(step, 0, t) EACH_BALLOT(step, 1, t) EACH_BALLOT(step, 2, t)
#define EACH_REGION(step, t) :: step(0, t) :: step(1, t) :: step(2, t)
#define EACH_SET(step, t) :: step(t, 1) :: step(t, 2) :: step(t, 4) :: step(t, 3) :: step(t, 5) :: step(t, 6)
#ifdef LATE
#define SYNC(t) :: sync(t)
#else
#define SYNC(t)
#endif

#define STEPS(t) \
	:: start(t) \
	EACH_REGION(give_vote, t) \
	EACH_SET(commit, t) \
	SYNC(t) \
	:: withdraw(t) \
	EACH_REGION(receive_abort, t) \
	:: conclude_abort(t) \
	EACH_REGION(learn, t) \
	EACH_REGION_BALLOT(recover, t) \
	EACH_REGION_BALLOT(give_promise_unheard, t) \
	EACH_REGION_BALLOT(give_promise, t) \
	EACH_REGION_BALLOT(choose, t) \
	EACH_REGION_BALLOT(accept, t) \
	EACH_REGION_BALLOT(conclude, t)

init {
	do
	STEPS(0)
#if TXNS == 2
	STEPS(1)
#endif
#if RESTARTS > 0
	:: restart(0) :: restart(1) :: restart(2)
#endif
#if LOSSES > 0
	:: lose(0) :: lose(1) :: lose(2)
#endif
	:: calm(0, 1) -> break
	:: calm(0, 2) -> break
	:: calm(1, 2) -> break
	od
}
