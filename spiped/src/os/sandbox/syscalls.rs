//! Restricts system calls by seccomp to a list, some of them to certain arguments.
//!
//! A call that is not on the list fails with ENOSYS, as on a kernel that lacks it. C libraries cope with
//! that, so a new version of one does not kill the daemon. A call that only an intruder would make ends the
//! process at once.

use std::collections::BTreeMap;
use std::io;

use nix::libc::{self, c_int, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Permissions;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;
#[cfg(target_arch = "riscv64")]
const ARCH: TargetArch = TargetArch::riscv64;

/// Calls that are allowed with any arguments.
const ALWAYS: &[&[c_long]] = &[
    // Data.
    &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_write,
        libc::SYS_writev,
    ],
    // Sockets and files that are open.
    &[
        libc::SYS_accept4,
        libc::SYS_close,
        libc::SYS_connect,
        libc::SYS_dup3,
        libc::SYS_fstat,
        libc::SYS_getpeername,
        libc::SYS_getsockname,
        libc::SYS_getsockopt,
        libc::SYS_lseek,
        libc::SYS_newfstatat,
        libc::SYS_setsockopt,
        libc::SYS_shutdown,
        libc::SYS_statx,
    ],
    // Waiting.
    &[
        libc::SYS_clock_nanosleep,
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_eventfd2,
        libc::SYS_futex,
        libc::SYS_nanosleep,
        libc::SYS_ppoll,
        libc::SYS_restart_syscall,
        libc::SYS_sched_yield,
    ],
    // Memory.
    &[
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_mlock,
        libc::SYS_mremap,
        libc::SYS_munlock,
        libc::SYS_munmap,
    ],
    // Threads, signals and the end.
    &[
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_getpid,
        libc::SYS_getpriority,
        libc::SYS_gettid,
        libc::SYS_rseq,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_set_robust_list,
        libc::SYS_sigaltstack,
    ],
    // Time and chance.
    &[
        libc::SYS_clock_getres,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_gettimeofday,
    ],
];

/// Older forms of the calls in `ALWAYS`, which C libraries still use on x86-64.
#[cfg(target_arch = "x86_64")]
const ALWAYS_OLD: &[c_long] = &[
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getrlimit,
    libc::SYS_poll,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_OLD: &[c_long] = &[];

/// Calls that read files.
const FILES: &[c_long] = &[
    libc::SYS_faccessat,
    libc::SYS_getdents64,
    libc::SYS_pread64,
    libc::SYS_readlinkat,
];

#[cfg(target_arch = "x86_64")]
const FILES_OLD: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_lstat,
    libc::SYS_readlink,
    libc::SYS_stat,
];
#[cfg(not(target_arch = "x86_64"))]
const FILES_OLD: &[c_long] = &[];

/// Calls that listen on a socket, and remove a unix socket that nobody listens on any more.
const LISTENING: &[c_long] = &[libc::SYS_bind, libc::SYS_listen, libc::SYS_unlinkat];

#[cfg(target_arch = "x86_64")]
const LISTENING_OLD: &[c_long] = &[libc::SYS_unlink];
#[cfg(not(target_arch = "x86_64"))]
const LISTENING_OLD: &[c_long] = &[];

/// Calls of the resolver besides those that read files.
const NAMES: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_pselect6,
    libc::SYS_recvmmsg,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

#[cfg(target_arch = "x86_64")]
const NAMES_OLD: &[c_long] = &[libc::SYS_select];
#[cfg(not(target_arch = "x86_64"))]
const NAMES_OLD: &[c_long] = &[];

/// Calls that only an intruder makes: they start programs, or reach other processes' memory, mounts or the
/// kernel.
const DEADLY: &[c_long] = &[
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

#[cfg(target_arch = "x86_64")]
const DEADLY_OLD: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const DEADLY_OLD: &[c_long] = &[];

/// The bits of a socket's type; the higher bits are flags.
const TYPE_MASK: u64 = 0xf;
/// The flags of clone(2) that tell a thread from a new process and from a process in new namespaces.
const CLONE_MASK: c_int = libc::CLONE_THREAD
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_PTRACE;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Restricts all threads to the system calls that `permissions` need. Returns how many calls are allowed.
///
/// # Errors
///
/// The kernel has no seccomp, or refuses.
pub(super) fn restrict(permissions: &Permissions) -> io::Result<usize> {
    let deadly = [DEADLY, DEADLY_OLD].concat();
    let deadly: Rules = deadly.into_iter().map(|call| (call, Vec::new())).collect();
    let allowed = allowed(permissions).map_err(io::Error::other)?;
    let count = allowed.len();
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    for (rules, otherwise, action) in [
        (deadly, SeccompAction::Allow, SeccompAction::KillProcess),
        (allowed, absent, SeccompAction::Allow),
    ] {
        let filter = SeccompFilter::new(rules, otherwise, action, ARCH);
        let program: BpfProgram = filter
            .and_then(TryInto::try_into)
            .map_err(io::Error::other)?;
        seccompiler::apply_filter_all_threads(&program).map_err(system_error)?;
    }
    Ok(count)
}

fn system_error(error: seccompiler::Error) -> io::Error {
    match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
        other => io::Error::other(other),
    }
}

/// Returns all calls that are allowed, with the rules for their arguments.
fn allowed(permissions: &Permissions) -> Result<Rules, seccompiler::BackendError> {
    let mut rules = Rules::new();
    let mut always = ALWAYS.concat();
    always.extend(ALWAYS_OLD);
    let opens = permissions.names || !permissions.reads.is_empty();
    if opens {
        always.extend([FILES, FILES_OLD].concat());
    }
    if permissions.names {
        always.extend([NAMES, NAMES_OLD].concat());
    }
    if permissions.listen {
        always.extend([LISTENING, LISTENING_OLD].concat());
    }
    if !permissions.bind.is_empty() {
        always.push(libc::SYS_bind);
    }
    rules.extend(always.into_iter().map(|call| (call, Vec::new())));
    rules.insert(libc::SYS_socket, sockets(permissions)?);
    rules.extend(with_arguments(permissions)?);
    if opens {
        rules.extend(opening_files()?);
    }
    Ok(rules)
}

fn sockets(permissions: &Permissions) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let kind = |kind: c_int| masked(1, TYPE_MASK, kind);
    let mut rules = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        // Landlock's rules for ports do not cover other protocols of streams, such as MPTCP.
        for protocol in [0, libc::IPPROTO_TCP] {
            let stream = [is(0, family)?, kind(libc::SOCK_STREAM)?, is(2, protocol)?];
            rules.push(all(stream)?);
        }
        if permissions.names {
            for protocol in [0, libc::IPPROTO_UDP] {
                let datagram = [is(0, family)?, kind(libc::SOCK_DGRAM)?, is(2, protocol)?];
                rules.push(all(datagram)?);
            }
        }
    }
    if permissions.unix_sockets || permissions.names {
        rules.push(all([is(0, libc::AF_UNIX)?])?);
    }
    if permissions.names {
        // The resolver asks for the addresses of this machine.
        rules.push(all([
            is(0, libc::AF_NETLINK)?,
            is(2, libc::NETLINK_ROUTE)?,
        ])?);
    }
    Ok(rules)
}

/// Returns the calls that are allowed with certain arguments.
fn with_arguments(permissions: &Permissions) -> Result<Rules, seccompiler::BackendError> {
    // No memory may become executable.
    let no_code = || Ok(vec![all([masked(2, libc::PROT_EXEC as u64, 0)?])?]);
    // Landlock does not check a connection that is made by the first data (MSG_FASTOPEN).
    let no_fast_open = |flags| Ok(vec![all([masked(flags, libc::MSG_FASTOPEN as u64, 0)?])?]);
    let one_of = |argument, values: &[c_int]| {
        let rules = values.iter().map(|&value| all([is(argument, value)?]));
        rules.collect::<Result<Vec<_>, _>>()
    };
    let mut rules = Rules::from([
        (libc::SYS_mmap, no_code()?),
        (libc::SYS_mprotect, no_code()?),
        (libc::SYS_sendto, no_fast_open(3)?),
        (libc::SYS_sendmsg, no_fast_open(2)?),
        (libc::SYS_socketpair, one_of(0, &[libc::AF_UNIX])?),
        (
            libc::SYS_clone,
            vec![all([masked(0, CLONE_MASK as u64, libc::CLONE_THREAD)?])?],
        ),
        (
            libc::SYS_fcntl,
            one_of(
                1,
                &[
                    libc::F_DUPFD_CLOEXEC,
                    libc::F_GETFD,
                    libc::F_SETFD,
                    libc::F_GETFL,
                    libc::F_SETFL,
                ],
            )?,
        ),
        (
            libc::SYS_ioctl,
            one_of(1, &[libc::FIONBIO as c_int, libc::FIONREAD as c_int])?,
        ),
        (libc::SYS_prctl, one_of(0, &[libc::PR_SET_NAME])?),
        // The threads of the key exchange lower their own priority.
        (
            libc::SYS_setpriority,
            one_of(0, &[libc::PRIO_PROCESS as c_int])?,
        ),
        // Limits may be read and not set.
        (libc::SYS_prlimit64, vec![all([is(0, 0)?, null(2)?])?]),
        // The process may send a signal to itself alone, to end by it.
        (
            libc::SYS_tgkill,
            one_of(0, &[nix::unistd::getpid().as_raw()])?,
        ),
    ]);
    if cfg!(target_env = "musl") {
        rules.insert(libc::SYS_tkill, Vec::new());
    }
    if permissions.names {
        rules.insert(libc::SYS_sendmmsg, no_fast_open(3)?);
    }
    Ok(rules)
}

/// Returns the calls that open files, which are allowed for reading only.
fn opening_files() -> Result<Rules, seccompiler::BackendError> {
    let writes = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
    let reads_only = |flags| Ok(vec![all([masked(flags, writes as u64, libc::O_RDONLY)?])?]);
    Ok(Rules::from([
        (libc::SYS_openat, reads_only(2)?),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, reads_only(1)?),
    ]))
}

fn all<const N: usize>(
    conditions: [SeccompCondition; N],
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.into())
}

/// Compares an argument of type `int`. The kernel reads only its lower 32 bits, so only these are compared.
fn is(argument: u8, value: c_int) -> Result<SeccompCondition, seccompiler::BackendError> {
    let value = u64::from(value.cast_unsigned());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn masked(
    argument: u8,
    mask: u64,
    value: c_int,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    let value = u64::from(value.cast_unsigned());
    let masked = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, masked, value)
}

fn null(argument: u8) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
}
