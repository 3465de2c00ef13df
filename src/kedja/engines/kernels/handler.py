"""What XLA calls: a function that reads XLA's call frame and spreads a kernel's chunks over XLA's own threads.

The frame's layout is that of XLA's C header for foreign functions, of which `layout` checks that it still holds.

A phase of n chunks is a counter from which threads take numbers until none are left. The caller begins with the first,
so that what one kernel left in its cache the next will find there, takes its share, and waits only for chunks that
others have begun, so a pool that is busy elsewhere cannot stop it. What the threads share is counted: one that comes
late, when all is done, finds nothing to do and lets go of it. A chunk does the same whoever does it, so the result
does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

__all__ = ["API_VERSION", "LAYOUT", "MOST_BUFFERS", "handler"]

API_VERSION = (0, 3)
MOST_BUFFERS = 16
OUT_OF_MEMORY = 8  # XLA_FFI_Error_Code_RESOURCE_EXHAUSTED
METADATA = 1  # XLA_FFI_Extension_Metadata

# Where the members that are read lie, in bytes.
LAYOUT = {
    "XLA_FFI_CallFrame.extension_start": 8, "XLA_FFI_CallFrame.api": 16, "XLA_FFI_CallFrame.ctx": 24,
    "XLA_FFI_CallFrame.args": 40, "XLA_FFI_CallFrame.rets": 80, "XLA_FFI_CallFrame.attrs": 120,
    "XLA_FFI_Args.size": 16, "XLA_FFI_Args.args": 32, "XLA_FFI_Rets.size": 16, "XLA_FFI_Rets.rets": 32,
    "XLA_FFI_Attrs.attrs": 40, "XLA_FFI_Buffer.data": 24, "XLA_FFI_Array.data": 16,
    "XLA_FFI_Extension_Base.type": 8, "XLA_FFI_Metadata_Extension.metadata": 24,
    "XLA_FFI_Metadata.api_version": 8, "XLA_FFI_Metadata.traits": 32,
    "XLA_FFI_Api_Version.major_version": 16, "XLA_FFI_Api_Version.minor_version": 20,
    "XLA_FFI_Api.XLA_FFI_Error_Create": 48, "XLA_FFI_Api.XLA_FFI_Error_Destroy": 64,
    "XLA_FFI_Api.XLA_FFI_ThreadPool_Schedule": 136, "XLA_FFI_Api.XLA_FFI_ThreadPool_NumThreads": 144,
    "XLA_FFI_Error_Create_Args.message": 16, "XLA_FFI_Error_Create_Args.errc": 24,
    "XLA_FFI_Error_Destroy_Args.error": 16,
    "XLA_FFI_ThreadPool_Schedule_Args.ctx": 16, "XLA_FFI_ThreadPool_Schedule_Args.task": 24,
    "XLA_FFI_ThreadPool_Schedule_Args.data": 32,
    "XLA_FFI_ThreadPool_NumThreads_Args.ctx": 16, "XLA_FFI_ThreadPool_NumThreads_Args.num_threads": 24,
}  # fmt: skip

_TEXT = Template(r"""
declare i32 @sched_yield()
%Shared = type { i64, i64, i64, i64, i64, ptr, ptr, ptr }  ; next, done, chunks, holders, failed, phase, buffers, plan
@no_memory = private constant [46 x i8] c"kedja: a kernel found no memory for a scratch\00"

; One holder less; the last gives the memory back.
define internal void @let_go(ptr %s) {
  %place = getelementptr %Shared, ptr %s, i32 0, i32 3
  %before = atomicrmw sub ptr %place, i64 1 acq_rel
  %last = icmp eq i64 %before, 1
  br i1 %last, label %free, label %end
free:
  call void @free(ptr %s)
  br label %end
end:
  ret void
}

; Do this chunk, then take others until there are none.
define internal void @take(ptr %s, i64 %first) {
entry:
  %chunks.at = getelementptr %Shared, ptr %s, i32 0, i32 2
  %chunks = load i64, ptr %chunks.at
  br label %next
next:
  %i = phi i64 [%first, %entry], [%taken, %work]
  %more = icmp slt i64 %i, %chunks
  br i1 %more, label %work, label %end
work:
  %phase.at = getelementptr %Shared, ptr %s, i32 0, i32 5
  %phase = load ptr, ptr %phase.at
  %buffers.at = getelementptr %Shared, ptr %s, i32 0, i32 6
  %buffers = load ptr, ptr %buffers.at
  %plan.at = getelementptr %Shared, ptr %s, i32 0, i32 7
  %plan = load ptr, ptr %plan.at
  %failed = call i64 %phase(ptr %buffers, ptr %plan, i64 %i)
  %failed.at = getelementptr %Shared, ptr %s, i32 0, i32 4
  %0 = atomicrmw or ptr %failed.at, i64 %failed acq_rel
  %done.at = getelementptr %Shared, ptr %s, i32 0, i32 1
  %1 = atomicrmw add ptr %done.at, i64 1 acq_rel
  %taken = atomicrmw add ptr %s, i64 1 acq_rel
  br label %next
end:
  ret void
}

define internal void @task(ptr %s) {
  %i = atomicrmw add ptr %s, i64 1 acq_rel
  call void @take(ptr %s, i64 %i)
  call void @let_go(ptr %s)
  ret void
}

; An error that nobody wants is freed; whether there was one.
define internal i1 @refused(ptr %api, ptr %error) {
entry:
  %none = icmp eq ptr %error, null
  br i1 %none, label %well, label %ill
ill:
  %args = alloca [3 x i64]
  store i64 24, ptr %args
  %extension = getelementptr i8, ptr %args, i64 8
  store ptr null, ptr %extension
  %error.at = getelementptr i8, ptr %args, i64 16
  store ptr %error, ptr %error.at
  %destroy.at = getelementptr i8, ptr %api, i64 64
  %destroy = load ptr, ptr %destroy.at
  call void %destroy(ptr %args)
  ret i1 true
well:
  ret i1 false
}

; The threads of XLA's pool; 1 where there is none.
define internal i64 @threads(ptr %api, ptr %ctx) {
  %number = alloca i64
  store i64 1, ptr %number
  %args = alloca [4 x i64]
  store i64 32, ptr %args
  %extension = getelementptr i8, ptr %args, i64 8
  store ptr null, ptr %extension
  %ctx.at = getelementptr i8, ptr %args, i64 16
  store ptr %ctx, ptr %ctx.at
  %number.at = getelementptr i8, ptr %args, i64 24
  store ptr %number, ptr %number.at
  %ask.at = getelementptr i8, ptr %api, i64 144
  %ask = load ptr, ptr %ask.at
  %error = call ptr %ask(ptr %args)
  %no = call i1 @refused(ptr %api, ptr %error)
  %found = load i64, ptr %number
  %n = select i1 %no, i64 1, i64 %found
  ret i64 %n
}

; All chunks of one phase; whether one of them could not work.
define internal i64 @run(ptr %phase, ptr %buffers, ptr %plan, i64 %chunks, ptr %api, ptr %ctx, i64 %threads) {
entry:
  %fewer = icmp slt i64 %chunks, %threads
  %wanted = select i1 %fewer, i64 %chunks, i64 %threads
  %alone = icmp sle i64 %wanted, 1
  br i1 %alone, label %by_itself, label %together
by_itself:
  %i = phi i64 [0, %entry], [%i.next, %each]
  %sum = phi i64 [0, %entry], [%sum.next, %each]
  %more = icmp slt i64 %i, %chunks
  br i1 %more, label %each, label %out
each:
  %result = call i64 %phase(ptr %buffers, ptr %plan, i64 %i)
  %sum.next = or i64 %sum, %result
  %i.next = add i64 %i, 1
  br label %by_itself
out:
  ret i64 %sum
together:
  %s = call ptr @malloc(i64 64)
  %nothing = icmp eq ptr %s, null
  br i1 %nothing, label %poor, label %filled
poor:
  ret i64 1
filled:
  store i64 1, ptr %s
  %done.at = getelementptr %Shared, ptr %s, i32 0, i32 1
  store i64 0, ptr %done.at
  %chunks.at = getelementptr %Shared, ptr %s, i32 0, i32 2
  store i64 %chunks, ptr %chunks.at
  %holders.at = getelementptr %Shared, ptr %s, i32 0, i32 3
  store i64 1, ptr %holders.at
  %failed.at = getelementptr %Shared, ptr %s, i32 0, i32 4
  store i64 0, ptr %failed.at
  %phase.at = getelementptr %Shared, ptr %s, i32 0, i32 5
  store ptr %phase, ptr %phase.at
  %buffers.at = getelementptr %Shared, ptr %s, i32 0, i32 6
  store ptr %buffers, ptr %buffers.at
  %plan.at = getelementptr %Shared, ptr %s, i32 0, i32 7
  store ptr %plan, ptr %plan.at
  %args = alloca [5 x i64]
  store i64 40, ptr %args
  %extension = getelementptr i8, ptr %args, i64 8
  store ptr null, ptr %extension
  %ctx.at = getelementptr i8, ptr %args, i64 16
  store ptr %ctx, ptr %ctx.at
  %task.at = getelementptr i8, ptr %args, i64 24
  store ptr @task, ptr %task.at
  %data.at = getelementptr i8, ptr %args, i64 32
  store ptr %s, ptr %data.at
  %schedule.at = getelementptr i8, ptr %api, i64 136
  %schedule = load ptr, ptr %schedule.at
  br label %hire
hire:
  %k = phi i64 [1, %filled], [%k.next, %hired]
  %few = icmp slt i64 %k, %wanted
  br i1 %few, label %ask, label %mine
ask:
  %0 = atomicrmw add ptr %holders.at, i64 1 acq_rel
  %error = call ptr %schedule(ptr %args)
  %no = call i1 @refused(ptr %api, ptr %error)
  br i1 %no, label %unhired, label %hired
hired:
  %k.next = add i64 %k, 1
  br label %hire
unhired:
  call void @let_go(ptr %s)
  br label %mine
mine:
  call void @take(ptr %s, i64 0)
  br label %wait
wait:
  %turns = phi i64 [0, %mine], [%turns.next, %again]
  %done = load atomic i64, ptr %done.at acquire, align 8
  %finished = icmp sge i64 %done, %chunks
  br i1 %finished, label %end, label %longer
longer:
  %turns.next = add i64 %turns, 1
  %patient = icmp slt i64 %turns, 2000
  br i1 %patient, label %spin, label %sleep
spin:
  $pause
  br label %again
sleep:
  %1 = call i32 @sched_yield()
  br label %again
again:
  br label %wait
end:
  %failed = load atomic i64, ptr %failed.at acquire, align 8
  call void @let_go(ptr %s)
  ret i64 %failed
}

; The data of each buffer of a list of buffers, into the places from %to on.
define internal void @gather(ptr %list, i64 %size, ptr %to) {
entry:
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %each]
  %more = icmp slt i64 %i, %size
  br i1 %more, label %each, label %end
each:
  %buffer.at = getelementptr ptr, ptr %list, i64 %i
  %buffer = load ptr, ptr %buffer.at
  %data.at = getelementptr i8, ptr %buffer, i64 24
  %data = load ptr, ptr %data.at
  %place = getelementptr ptr, ptr %to, i64 %i
  store ptr %data, ptr %place
  %i.next = add i64 %i, 1
  br label %next
end:
  ret void
}

define ptr @handler(ptr %frame) {
entry:
  %extension.at = getelementptr i8, ptr %frame, i64 8
  %extension = load ptr, ptr %extension.at
  %plain = icmp eq ptr %extension, null
  br i1 %plain, label %call, label %asked
asked:
  %type.at = getelementptr i8, ptr %extension, i64 8
  %type = load i32, ptr %type.at
  %metadata = icmp eq i32 %type, $metadata
  br i1 %metadata, label %tell, label %call
tell:
  %about.at = getelementptr i8, ptr %extension, i64 24
  %about = load ptr, ptr %about.at
  %major.at = getelementptr i8, ptr %about, i64 24
  store i32 $major, ptr %major.at
  %minor.at = getelementptr i8, ptr %about, i64 28
  store i32 $minor, ptr %minor.at
  %traits.at = getelementptr i8, ptr %about, i64 32
  store i32 0, ptr %traits.at
  ret ptr null
call:
  %buffers = alloca [$most x ptr]
  %given.at = getelementptr i8, ptr %frame, i64 56
  %given = load i64, ptr %given.at
  %args.at = getelementptr i8, ptr %frame, i64 72
  %args = load ptr, ptr %args.at
  call void @gather(ptr %args, i64 %given, ptr %buffers)
  %made.at = getelementptr i8, ptr %frame, i64 96
  %made = load i64, ptr %made.at
  %rets.at = getelementptr i8, ptr %frame, i64 112
  %rets = load ptr, ptr %rets.at
  %behind = getelementptr ptr, ptr %buffers, i64 %given
  call void @gather(ptr %rets, i64 %made, ptr %behind)
  %attrs.at = getelementptr i8, ptr %frame, i64 160
  %attrs = load ptr, ptr %attrs.at
  %array = load ptr, ptr %attrs
  %plan.at = getelementptr i8, ptr %array, i64 16
  %plan = load ptr, ptr %plan.at
  %api.at = getelementptr i8, ptr %frame, i64 16
  %api = load ptr, ptr %api.at
  %ctx.at = getelementptr i8, ptr %frame, i64 24
  %ctx = load ptr, ptr %ctx.at
  %threads = call i64 @threads(ptr %api, ptr %ctx)
$phases
  %ill = icmp ne i64 %failed.$count, 0
  br i1 %ill, label %error, label %well
well:
  ret ptr null
error:
  %eargs = alloca [4 x i64]
  store i64 32, ptr %eargs
  %eextension = getelementptr i8, ptr %eargs, i64 8
  store ptr null, ptr %eextension
  %message.at = getelementptr i8, ptr %eargs, i64 16
  store ptr @no_memory, ptr %message.at
  %code.at = getelementptr i8, ptr %eargs, i64 24
  store i32 $code, ptr %code.at
  %create.at = getelementptr i8, ptr %api, i64 48
  %create = load ptr, ptr %create.at
  %made.error = call ptr %create(ptr %eargs)
  ret ptr %made.error
}
""")

_PHASE = Template(r"""  %chunks.$i.at = getelementptr i64, ptr %plan, i64 $at
  %chunks.$i = load i64, ptr %chunks.$i.at
  %bad.$i = call i64 @run(ptr @$name, ptr %buffers, ptr %plan, i64 %chunks.$i, ptr %api, ptr %ctx, i64 %threads)
  %failed.$next = or i64 %failed.$i, %bad.$i
""")


def handler(phases: Sequence[str], all_phases: Sequence[str], pauses: bool) -> str:
    """The IR of a handler that runs these phases one after the other; the plan begins with the chunks of each."""
    calls = "".join(
        _PHASE.substitute(i=i, next=i + 1, name=name, at=all_phases.index(name)) for i, name in enumerate(phases)
    )
    return _TEXT.substitute(
        phases="  %failed.0 = or i64 0, 0\n" + calls, count=len(phases), metadata=METADATA, most=MOST_BUFFERS,
        major=API_VERSION[0], minor=API_VERSION[1], code=OUT_OF_MEMORY,
        pause="call void @llvm.x86.sse2.pause()" if pauses else "",
    )  # fmt: skip
