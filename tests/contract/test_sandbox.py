"""Every way out of the sandbox that we know is shut, whoever starts it; outside, the same attempt goes through."""

from __future__ import annotations

import errno
import os
from ast import literal_eval
from pathlib import Path

import pytest

from core.sandbox.runner import available
from tests.contract.cells import SECRET, Cell, cell, household

__all__ = ["cell", "household"]  # fixtures

pytestmark = pytest.mark.skipif(bool(available()), reason=available() or "-")


# ---- reading


def test_it_cannot_read_the_list_of_users(cell: Cell) -> None:
    cell.refuses("return open('/etc/passwd').read()")


def test_it_cannot_read_the_list_of_passwords(cell: Cell) -> None:
    cell.refuses("return open('/etc/shadow').read()", outside=cell.root)


def test_it_cannot_read_a_secret_at_home(cell: Cell) -> None:
    cell.refuses("return open(w['secret']).read()")


def test_it_cannot_read_a_secret_through_a_link_of_its_own(cell: Cell) -> None:
    cell.refuses("os.symlink(w['secret'], 'link')\nreturn open('link').read()")


def test_it_cannot_read_a_secret_through_the_root_of_its_process(cell: Cell) -> None:
    cell.refuses("return open('/proc/self/root' + w['secret']).read()")


def test_it_cannot_read_a_secret_by_going_there_first(cell: Cell) -> None:
    cell.refuses("os.chdir(os.path.dirname(w['secret']))\nreturn open('secret.txt').read()")


def test_it_cannot_read_the_source_of_the_project(cell: Cell) -> None:
    cell.refuses("return open(w['project']).read()")


def test_it_cannot_import_the_source_of_the_project(cell: Cell) -> None:
    cell.refuses(
        "import importlib.util as u\n"
        "spec = u.spec_from_file_location('module', w['project'])\n"
        "module = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "return module.WORD"
    )


def test_it_cannot_see_the_folder_of_another_video(cell: Cell) -> None:
    cell.refuses("return os.listdir(os.path.dirname(w['other']))", "return open(w['other'], 'rb').read()")


def test_it_cannot_see_whose_folders_there_are(cell: Cell) -> None:
    cell.refuses("return os.listdir(os.path.dirname(os.getcwd()))")


def test_it_cannot_read_the_environment_of_another_process(cell: Cell) -> None:
    cell.refuses("return open(f\"/proc/{w['victim']}/environ\").read()")


def test_it_cannot_read_the_environment_of_its_parent(cell: Cell) -> None:
    cell.refuses("return open(f'/proc/{os.getppid()}/environ').read()", outside=False)


def test_it_cannot_read_the_environment_of_the_first_process(cell: Cell) -> None:
    cell.refuses("return open('/proc/1/environ').read()", outside=False)


def test_it_cannot_read_what_another_process_runs(cell: Cell) -> None:
    cell.refuses("return open(f\"/proc/{w['victim']}/cmdline\").read()")


def test_it_cannot_read_the_memory_of_another_process(cell: Cell) -> None:
    cell.refuses("return open(f\"/proc/{w['victim']}/mem\", 'rb')")


def test_its_environment_holds_no_secret(cell: Cell) -> None:
    how, said = cell.tries("return dict(os.environ)")

    assert (how, SECRET in said) == ("through", False)
    assert set(literal_eval(said)) <= {
        *("HOME", "TMPDIR", "XDG_CACHE_HOME", "LANG", "PATH", "LC_CTYPE"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"),
    }
    cell.refuses("return open('/proc/self/environ').read()")


def test_it_inherits_no_open_file(cell: Cell) -> None:
    with Path(cell.world.facts["secret"]).open() as held:
        os.set_inheritable(held.fileno(), True)
        many = [os.dup(held.fileno()) for _ in range(400)]  # so that those of the sandbox have high numbers too
        how, said = cell.tries(
            "seen = []\n"
            "for number in range(3, 1000):\n"
            "    try:\n"
            "        seen.append(os.fstat(number))\n"
            "    except OSError:\n"
            "        pass\n"
            "os.dup2(1, 200)\n"  # a copy of its own is no way out either
            "return seen, sys.stdin.read()"
        )
        for number in many:
            os.close(number)

    assert (how, said) == ("through", "([], '')")


def test_it_finds_nothing_of_the_product_in_its_modules(cell: Cell) -> None:
    how, said = cell.tries("return [n for n in sys.modules if n.startswith('core')], 'contract' in str(sys.path)")

    assert (how, said) == ("through", "([], False)")


# ---- changing


def test_it_cannot_make_a_file_outside(cell: Cell) -> None:
    cell.refuses("open(w['folder'] + '/new', 'w')")


def test_it_cannot_append_to_a_file_outside(cell: Cell) -> None:
    cell.refuses("open(w['other'], 'ab').write(b'more')")


def test_it_cannot_empty_a_file_outside(cell: Cell) -> None:
    cell.refuses("os.truncate(w['other'], 0)")


def test_it_cannot_delete_a_file_outside(cell: Cell) -> None:
    cell.refuses("os.unlink(w['other'])")


def test_it_cannot_move_a_file_of_another_video_here(cell: Cell) -> None:
    cell.refuses("os.rename(w['other'], 'mine.mp4')")


def test_it_cannot_move_a_file_of_its_own_outside(cell: Cell) -> None:
    cell.refuses("open('mine', 'w').close()\nos.rename('mine', w['other'])")


def test_it_cannot_make_a_folder_outside(cell: Cell) -> None:
    cell.refuses("os.mkdir(w['folder'] + '/new')")


def test_it_cannot_make_a_link_outside(cell: Cell) -> None:
    cell.refuses("os.symlink('/etc/passwd', w['folder'] + '/new')")


def test_it_cannot_give_a_file_of_another_video_a_second_name_here(cell: Cell) -> None:
    cell.refuses("os.link(w['other'], 'mine.mp4')")


def test_it_cannot_change_rights_outside(cell: Cell) -> None:
    cell.refuses("os.chmod(w['secret'], 0o777)", "os.chmod(os.path.dirname(w['secret']), 0o777)")


def test_it_cannot_change_owners_outside(cell: Cell) -> None:
    cell.refuses("os.chown(w['secret'], os.getuid(), -1)")


def test_it_cannot_change_attributes_outside(cell: Cell) -> None:
    cell.refuses("os.setxattr(w['secret'], 'user.mark', b'1')", outside=_holds_attributes(cell))


def _holds_attributes(cell: Cell) -> bool:
    try:
        os.setxattr(cell.world.folder, "user.mark", b"1")
        os.removexattr(cell.world.folder, "user.mark")
    except OSError:
        return False
    return True


def test_it_cannot_change_times_outside_though_it_is_told_so(cell: Cell) -> None:
    how, _ = cell.tries("os.utime(w['secret'], (1, 1))")

    assert how == "through"
    cell.world.assert_untouched()
    assert cell.tries_outside("os.utime(w['secret'], (1, 1))")[0] == "through"
    assert cell.world.state() != cell.world.before


def test_it_cannot_leave_anything_in_memory_that_outlives_it(cell: Cell) -> None:
    cell.refuses("import tempfile\nopen(tempfile.mktemp(dir='/dev/shm'), 'w').close()")
    cell.refuses("number = call('shmget', 0, 4096, 0o1600)\nreturn number", outside=False)


def test_it_cannot_plant_code_that_python_would_start_with(cell: Cell) -> None:
    said = cell.refuses(
        "import site\n"
        "wrong = []\n"
        "for folder in {*site.getsitepackages(), *sys.path, sys.prefix, sys.base_prefix}:\n"
        "    for name in ('sitecustomize.py', 'usercustomize.py', 'planted.pth', 'planted.py'):\n"
        "        try:\n"
        "            open(os.path.join(folder, name), 'x').close()\n"
        "        except (PermissionError, FileExistsError, FileNotFoundError, NotADirectoryError) as error:\n"
        "            wrong.append(error)\n"
        "        else:\n"
        "            return folder\n"
        "raise wrong[0]",
        outside=False,
    )

    assert "Error" in said


def test_what_one_run_writes_the_next_cannot_import(cell: Cell) -> None:
    cell.tries("open('planted.py', 'w').write('WORD = 1')\nopen('numpy.py', 'w').write('WORD = 1')")

    assert "ModuleNotFoundError" in cell.refuses("import planted", outside=False)
    how, said = cell.tries("return os.listdir('.'), '' in sys.path, os.getcwd() in sys.path")
    assert (how, said) == ("through", "([], False, False)")


def test_it_cannot_turn_python_against_the_locks(cell: Cell) -> None:
    """They are in the kernel: what is changed within the process is its own affair."""
    cell.refuses(
        "import builtins, gc, importlib, io\n"
        "importlib.reload(io)\n"
        "for name in ('posix', 'io', '_io'):\n"
        "    sys.modules.pop(name, None)\n"
        "import posix\n"
        "builtins.open = io.open\n"
        "number = posix.open(w['secret'], posix.O_RDONLY)\n"
        "return posix.read(number, 100)"
    )


# ---- the network


def test_it_cannot_call_by_tcp(cell: Cell) -> None:
    cell.refuses("import socket\nsocket.create_connection(('127.0.0.1', w['tcp']), 5)")


def test_it_cannot_send_by_udp(cell: Cell) -> None:
    cell.refuses("import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', w['udp']))")


def test_it_cannot_use_ipv6(cell: Cell) -> None:
    cell.refuses("import socket\nsocket.socket(socket.AF_INET6)", outside=os.path.exists("/proc/net/if_inet6"))  # noqa: PTH110


def test_it_cannot_listen(cell: Cell) -> None:
    cell.refuses("import socket\nsocket.create_server(('127.0.0.1', 0))")


def test_it_cannot_send_raw_packets(cell: Cell) -> None:
    cell.refuses("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", outside=cell.root)
    cell.refuses("import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)")


def test_it_cannot_ask_for_names(cell: Cell) -> None:
    cell.refuses("import socket\nreturn socket.getaddrinfo('localhost', 80)")


def test_it_cannot_speak_to_a_server_by_a_socket_file(cell: Cell) -> None:
    cell.refuses("import socket\nsocket.socket(socket.AF_UNIX).connect(w['unix'])")


def test_it_cannot_speak_to_a_server_by_an_abstract_socket(cell: Cell) -> None:
    cell.refuses("import socket\nsocket.socket(socket.AF_UNIX).connect('\\0' + w['abstract'])")


def test_it_cannot_make_a_pair_of_sockets(cell: Cell) -> None:
    cell.refuses("import socket\nsocket.socketpair()")


# ---- other programs


def test_it_cannot_become_a_shell(cell: Cell) -> None:
    cell.refuses("os.execv('/bin/sh', ['sh', '-c', 'echo \\'[\"through\", 0]\\''])")


def test_it_cannot_run_a_command(cell: Cell) -> None:
    cell.refuses("if os.system('true') != 0:\n    raise OSError('not run')")


def test_it_cannot_start_a_process(cell: Cell) -> None:
    cell.refuses(
        "import subprocess\nsubprocess.run(['true'], check=True)",
        "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    )


def test_it_cannot_fork(cell: Cell) -> None:
    cell.refuses("if os.fork() == 0:\n    os._exit(0)")


def test_it_cannot_fork_by_the_calls_beneath(cell: Cell) -> None:
    cell.refuses("if call('clone', 17, 0, 0, 0, 0) == 0:\n    os._exit(0)")
    assert "Function not implemented" in cell.refuses("call('clone3', 0, 0)", outside=False)


def test_it_cannot_start_a_thread_with_open_files_of_its_own(cell: Cell) -> None:
    """They would not be counted. CLONE_THREAD and what it needs, without CLONE_FILES."""
    assert "not permitted" in cell.refuses("call('clone', 0x10900, 0, 0, 0, 0)", outside=False)


def test_it_cannot_run_a_program_from_memory(cell: Cell) -> None:
    cell.refuses("return os.memfd_create('program')")
    cell.refuses(
        "program = os.open('/usr/lib/os-release', os.O_RDONLY)\ncall('execveat', program, b'', 0, 0, 0x1000)",
        outside=False,
    )


def test_a_bomb_of_processes_does_not_go_off(cell: Cell) -> None:
    how, said = cell.tries(
        "made = 0\n"
        "for _ in range(2000):\n"
        "    try:\n"
        "        made += os.fork() != 0\n"
        "    except OSError:\n"
        "        pass\n"
        "return made"
    )

    assert (how, said) == ("through", "0")


# ---- other processes


def test_it_cannot_signal_another_process(cell: Cell) -> None:
    cell.refuses("os.kill(w['victim'], 15)")


def test_it_cannot_signal_a_thread_of_another_process(cell: Cell) -> None:
    cell.refuses("call('tgkill', w['victim'], w['victim'], 15)")


def test_it_cannot_signal_a_group(cell: Cell) -> None:
    cell.refuses("os.killpg(w['victim'], 15)")


def test_it_cannot_signal_who_started_it(cell: Cell) -> None:
    cell.refuses("os.kill(os.getppid(), 0)", outside=cell.root)


def test_it_cannot_signal_by_a_handle_of_a_process(cell: Cell) -> None:
    cell.refuses("import signal\nsignal.pidfd_send_signal(os.pidfd_open(w['victim']), 15)")


def test_it_cannot_signal_by_a_file_that_it_owns(cell: Cell) -> None:
    cell.refuses("import fcntl\nreader, writer = os.pipe()\nfcntl.fcntl(reader, fcntl.F_SETOWN, w['victim'])")


def test_it_cannot_stop_itself(cell: Cell) -> None:
    cell.refuses("os.kill(os.getpid(), 19)", outside=False)


def test_it_cannot_take_what_another_process_needs(cell: Cell) -> None:
    cell.refuses(
        "import resource\nresource.prlimit(w['victim'], resource.RLIMIT_CPU, (1, 1))",
        "os.setpriority(os.PRIO_PROCESS, w['victim'], 19)",
    )


def test_it_cannot_move_another_process_to_one_core(cell: Cell) -> None:
    cell.refuses("os.sched_setaffinity(w['victim'], {0})")


def test_it_cannot_follow_another_process(cell: Cell) -> None:
    cell.refuses("call('ptrace', 0x4206, w['victim'], 0, 0)", outside=cell.root)  # PTRACE_SEIZE


def test_it_cannot_let_itself_be_followed_or_outlive_who_started_it(cell: Cell) -> None:
    cell.refuses("call('prctl', 4, 0, 0, 0, 0)")  # PR_SET_DUMPABLE
    cell.refuses("call('prctl', 1, 0, 0, 0, 0)")  # PR_SET_PDEATHSIG


def test_it_cannot_leave_its_group(cell: Cell) -> None:
    cell.refuses("os.setsid()", outside=False)
    cell.refuses("os.setpgid(0, os.getppid())", outside=False)


def test_it_cannot_become_another_user(cell: Cell) -> None:
    cell.refuses("os.setresuid(0, 0, 0)", outside=cell.root)


CALLS = (
    "bpf io_uring_setup ptrace process_vm_readv process_vm_writev unshare setns keyctl add_key userfaultfd"
    " pidfd_open pidfd_getfd open_by_handle_at name_to_handle_at perf_event_open mount umount2 move_mount fsopen"
    " pivot_root chroot memfd_create inotify_init1 fanotify_init mq_open kcmp process_madvise mknodat init_module"
    " kexec_load shmat shmctl semop semctl msgsnd msgrcv msgctl execve execveat kill tkill rt_sigqueueinfo socket"
    " connect setxattr fchmodat fchownat"
).split()
MEANINGLESS = f"""
answers = {{}}
for name in {CALLS!r}:
    try:
        answers[name] = call(name, -1, -1, -1, -1, -1)
    except OSError as error:
        answers[name] = error.errno
return answers
"""


def test_the_kernel_refuses_it_every_call_that_leads_out(cell: Cell) -> None:
    """With arguments that mean nothing: refused for the call itself, where others are told what is wrong with them."""
    said = literal_eval(cell.tries(MEANINGLESS)[1])

    assert said == dict.fromkeys(CALLS, errno.EPERM)
    cell.world.assert_untouched()
    if cell.root:
        outside = literal_eval(cell.tries_outside(MEANINGLESS)[1])
        assert [name for name, answer in outside.items() if answer == errno.EPERM] == []
