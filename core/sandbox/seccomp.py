"""seccomp: which system calls a process may make from now on, as a program for the kernel's packet filter (BPF)."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence

# machine as `uname` says it -> AUDIT_ARCH, column of the tables below
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_LAST = 462  # the newest call these tables know (mseal, Linux 6.10); later ones, and x32's, are answered with ENOSYS

# name, number on x86_64, number on aarch64 (-: it has none); include/uapi/asm-generic/unistd.h of Linux
_REFUSED = """
execve 59 221, execveat 322 281, fork 57 -, vfork 58 -, setsid 112 157, setpgid 109 154,
socket 41 198, socketpair 53 199, connect 42 203, bind 49 200,
kill 62 129, tkill 200 130, tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240,
pidfd_open 434 434, pidfd_getfd 438 438, pidfd_send_signal 424 424,
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, process_madvise 440 440,
process_mrelease 448 448, kcmp 312 272, migrate_pages 256 238, move_pages 279 239,
setpriority 141 140, ioprio_set 251 30, sched_setscheduler 144 119, sched_setparam 142 118, sched_setattr 314 274,
chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, chown 92 -, lchown 94 -, fchown 93 55, fchownat 260 54,
setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16,
mknod 133 -, mknodat 259 33, memfd_create 319 279, memfd_secret 447 447,
name_to_handle_at 303 264, open_by_handle_at 304 265,
inotify_init 253 -, inotify_init1 294 26, fanotify_init 300 262, fanotify_mark 301 263,
shmget 29 194, shmat 30 196, shmctl 31 195, semget 64 190, semop 65 193, semtimedop 220 192, semctl 66 191,
msgget 68 186, msgsnd 69 189, msgrcv 70 188, msgctl 71 187, mq_open 240 180, mq_unlink 241 181,
io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427,
bpf 321 280, perf_event_open 298 241, userfaultfd 323 282, add_key 248 217, request_key 249 218, keyctl 250 219,
mount 165 40, umount2 166 39, mount_setattr 442 442, move_mount 429 429, open_tree 428 428, fsopen 430 430,
fsconfig 431 431, fsmount 432 432, fspick 433 433, pivot_root 155 41, chroot 161 51, unshare 272 97, setns 308 268,
acct 163 89, quotactl 179 60, quotactl_fd 443 443, swapon 167 224, swapoff 168 225, reboot 169 142, syslog 103 116,
sethostname 170 161, setdomainname 171 162, settimeofday 164 170, clock_settime 227 112, clock_adjtime 305 266,
adjtimex 159 171, init_module 175 105, finit_module 313 273, delete_module 176 106, kexec_load 246 104,
kexec_file_load 320 294, lookup_dcookie 212 18, iopl 172 -, ioperm 173 -, modify_ldt 154 -, uselib 134 -,
personality 135 92, vhangup 153 58
"""
# times of files change nothing, and programs that set them are not held up
_PRETENDED = "utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88"
# (call, answer): room taken without writing is not seen by who watches; clone3 hides its flags, threads then use clone
_ANSWERED = (("fallocate 285 47", errno.EOPNOTSUPP), ("clone3 435 435", errno.ENOSYS))
# (call, which argument, values that are refused)
_REFUSED_ARGUMENTS = (
    ("fcntl 72 25", 1, (8, 10, 15)),  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals to others by way of a file
    ("ioctl 16 29", 1, (0x8901, 0x8902, 0x5412, 0x541C)),  # FIOSETOWN, SIOCSPGRP, TIOCSTI, TIOCLINUX
    ("prctl 157 167", 0, (1, 4, 0x59616D61)),  # PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_PTRACER
)
_OWN_ALONE = "prlimit64 302 261, sched_setaffinity 203 122"  # argument 0 names a process; 0 is the caller
_CLONE = "clone 56 220"
_THREAD = 0x10000 | 0x400  # CLONE_THREAD, CLONE_FILES: what is no thread with the same open files is no thread

_LOAD, _EQUAL, _GREATER, _AND, _RETURN = 0x20, 0x15, 0x25, 0x54, 0x06
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_SET_MODE_FILTER, _ACTION_AVAILABLE, _TSYNC = 1, 2, 1
_SECCOMP = {"x86_64": 317, "aarch64": 277}

_Instruction = tuple[int, int, int, int]  # struct sock_filter: code, steps if true, steps if not, value


def program(machine: str) -> list[_Instruction]:
    """The filter for one of MACHINES: what is not refused is allowed."""
    architecture, column = MACHINES[machine]

    def numbers(table: str) -> list[int]:
        rows = (row.split()[1:] for row in table.split(","))
        return [int(row[column]) for row in rows if row[column] != "-"]

    made = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL)]
    made += [(_LOAD, 0, 0, 0), (_GREATER, 0, 1, _LAST), _answer(errno.ENOSYS)]
    answers = [(number, errno.EPERM) for number in numbers(_REFUSED)]
    answers += [(number, 0) for number in numbers(_PRETENDED)]
    answers += [(number, code) for call, code in _ANSWERED for number in numbers(call)]
    for number, code in answers:
        made += [(_EQUAL, 0, 1, number), _answer(code)]
    for call, index, values in _REFUSED_ARGUMENTS:
        checks = [step for value in values for step in ((_EQUAL, 0, 1, value), _answer(errno.EPERM))]
        made += _only_for(numbers(call)[0], [_argument(index), *checks])
    only_zero = [_argument(0), (_EQUAL, 1, 0, 0), _answer(errno.EPERM)]
    for number in numbers(_OWN_ALONE):
        made += _only_for(number, only_zero)
    threads = [_argument(0), (_AND, 0, 0, _THREAD), (_EQUAL, 1, 0, _THREAD), _answer(errno.EPERM)]
    made += _only_for(numbers(_CLONE)[0], threads)
    return [*made, (_RETURN, 0, 0, _ALLOW)]


def _answer(code: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | code)


def _argument(index: int) -> _Instruction:
    return (_LOAD, 0, 0, 16 + 8 * index)  # its low half: each of these is an int to the kernel


def _only_for(number: int, steps: Sequence[_Instruction]) -> list[_Instruction]:
    """The steps for one call, which is allowed if they do not return; they lose the call's number."""
    return [(_EQUAL, 0, len(steps) + 1, number), *steps, (_RETURN, 0, 0, _ALLOW)]


def is_there() -> bool:
    """Whether this kernel filters system calls."""
    number = _SECCOMP.get(platform.machine())
    if number is None:
        return False
    action = ctypes.c_uint32(_ERRNO)
    return bool(_libc().syscall(number, _ACTION_AVAILABLE, 0, ctypes.byref(action)) == 0)


def restrict() -> None:
    """Refuse those calls to this process from now on; never to be undone. Needs PR_SET_NO_NEW_PRIVS; raises OSError."""
    steps = program(platform.machine())
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    fprog = struct.pack("@HP", len(steps), ctypes.addressof(code))
    if _libc().syscall(_SECCOMP[platform.machine()], _SET_MODE_FILTER, _TSYNC, fprog) != 0:
        code_ = ctypes.get_errno()
        raise OSError(code_, f"seccomp: {os.strerror(code_)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
