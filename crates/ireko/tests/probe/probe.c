// Says, line by line, what a command in a container may do and what it sees: system calls, capabilities, hidden
// paths, mounts, devices, limits. Runs on an empty image: `gcc -static -O1 -o probe probe.c`.
//
// No call under test is ever carried out. A child adds a filter of its own that asks a supervisor about every call
// whose sixth argument is MAGIC. Of two filters the stricter answer holds, so a call that the container's filter
// refuses fails or kills at once, and one that it allows reaches the supervisor, which answers with ALLOWED.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAGIC 0x1e4c05ecL
#define ALLOWED 999 // no error number of the kernel's
#define NEWEST 560  // past the newest call of any kernel so far, and past those of x32
#define X32 0x40000000L

typedef long caller(long number, long argument);

// What came of one call: an error number, ALLOWED, or a signal as a negative number.
struct attempt { const char *convention; caller *call; long mark, number; int with_argument; long argument, result; };

struct shared { int count, at, ready; struct attempt attempts[4096]; };
static struct shared *shared;

#if defined(__x86_64__)
static long native(long number, long argument) {
    register long fourth __asm__("r10") = 0, fifth __asm__("r8") = 0, sixth __asm__("r9") = MAGIC;
    long result = number;
    __asm__ volatile("syscall" : "+a"(result), "+r"(fourth), "+r"(fifth), "+r"(sixth)
                     : "D"(argument), "S"(0L), "d"(0L) : "rcx", "r11", "memory");
    return result;
}

// The 32-bit convention; its sixth argument is in ebp.
static long compat(long number, long argument) {
    long result = number, sixth = MAGIC;
    __asm__ volatile("xchg %%rbp, %1\n\tint $0x80\n\txchg %%rbp, %1" : "+a"(result), "+r"(sixth)
                     : "b"(argument), "c"(0L), "d"(0L), "S"(0L), "D"(0L) : "r8", "r9", "r10", "r11", "memory");
    return (int)result;
}
#elif defined(__aarch64__)
static long native(long number, long argument) {
    register long eighth __asm__("x8") = number, first __asm__("x0") = argument, sixth __asm__("x5") = MAGIC;
    register long second __asm__("x1") = 0, third __asm__("x2") = 0, fourth __asm__("x3") = 0, fifth __asm__("x4") = 0;
    __asm__ volatile("svc 0" : "+r"(first) : "r"(eighth), "r"(second), "r"(third), "r"(fourth), "r"(fifth), "r"(sixth) : "memory");
    return first;
}
#endif

static void attempt(const char *convention, caller *call, long mark, long number, int with_argument, long argument) {
    struct attempt it = {convention, call, mark, number, with_argument, argument, 0};
    shared->attempts[shared->count++] = it;
}

static void attempts(const char *convention, caller *call, long mark, const long clone_personality_socket[3]) {
    static const long flags[] = {0x11, 0x3d0f00, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x80};
    static const long personalities[] = {0, 4, 8, 0x20000, 0x20008, 0x40000, 0xffffffff, -1, 0x100000008};
    for (long number = 0; number <= NEWEST; number++) attempt(convention, call, mark, number, 0, 0);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) attempt(convention, call, mark, clone_personality_socket[0], 1, flags[i]);
    // Only native arguments have more than 32 bits.
    for (size_t i = 0; i < sizeof personalities / sizeof *personalities - 2 * (call != native || mark); i++)
        attempt(convention, call, mark, clone_personality_socket[1], 1, personalities[i]);
    for (long family = 0; family < 60; family++) attempt(convention, call, mark, clone_personality_socket[2], 1, family);
    if (call == native && !mark) attempt(convention, call, mark, clone_personality_socket[2], 1, 0x100000002);
}

// The child: adds the asking filter, then makes the calls from shared->at on. In between it makes no other call,
// since the register with MAGIC in it may still be set.
static void work(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAGIC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program, 0, 0, 0);
    __atomic_store_n(&shared->ready, listener < 0 ? -errno : listener, __ATOMIC_SEQ_CST);
    if (listener < 0) _exit(1);
    for (; shared->at < shared->count; __atomic_store_n(&shared->at, shared->at + 1, __ATOMIC_SEQ_CST)) {
        struct attempt *it = &shared->attempts[shared->at];
        it->result = -it->call(it->mark | it->number, it->argument);
    }
    syscall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}

// Answers the questions of one child until it ends, and says how it ended.
static int supervise(void) {
    shared->ready = 0;
    // One table of descriptors, so that the listener is open on both sides.
    pid_t child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0, 0);
    if (child == 0) work();
    int status = 0, listener;
    while ((listener = __atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST)) == 0) usleep(200);
    if (listener < 0) {
        printf("no answer about calls: %s\n", strerror(-listener));
        exit(1);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct pollfd ready = {listener, POLLIN, 0};
        if (poll(&ready, 1, 20) <= 0 || !(ready.revents & POLLIN)) continue;
        struct seccomp_notif question;
        memset(&question, 0, sizeof question);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) != 0) continue;
        struct seccomp_notif_resp answer = {question.id, 0, -ALLOWED, 0};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    close(listener);
    return status;
}

static void calls(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
#if defined(__x86_64__)
    attempts("x86_64", native, 0, (const long[]){56, 135, 41});
    attempts("x32", native, X32, (const long[]){56, 135, 41});
    attempts("i386", compat, 0, (const long[]){120, 136, 359});
#elif defined(__aarch64__)
    attempts("aarch64", native, 0, (const long[]){220, 92, 198});
#endif
    while (shared->at < shared->count) {
        int status = supervise();
        if (WIFSIGNALED(status)) shared->attempts[shared->at++].result = -WTERMSIG(status);
    }
    for (int i = 0; i < shared->count; i++) {
        struct attempt *it = &shared->attempts[i];
        printf("call %s %ld", it->convention, it->number);
        if (it->with_argument) printf("(0x%lx)", it->argument);
        if (it->result == ALLOWED) printf(" allow\n");
        else printf(it->result < 0 ? " signal %ld\n" : " errno %ld\n", labs(it->result));
    }
}

// The lines of a file, or those that begin with one of the words, each after `label`.
static void file(const char *label, const char *path, const char *const *words) {
    char line[4096];
    FILE *stream = fopen(path, "re");
    if (!stream) {
        printf("%s: %s\n", label, strerror(errno));
        return;
    }
    while (fgets(line, sizeof line, stream)) {
        int wanted = words == NULL;
        for (const char *const *word = words; word && *word; word++) wanted |= strncmp(line, *word, strlen(*word)) == 0;
        for (char *at = line; *at; at++)
            if (*at == '\t') *at = ' ';
        line[strcspn(line, "\n")] = 0;
        if (wanted) printf("%s %s\n", label, line);
    }
    fclose(stream);
}

static void credentials(void) {
    static const char *const words[] = {"Cap", "NoNewPrivs", "Seccomp:", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "Umask", NULL};
    file("status", "/proc/self/status", words);
    printf("securebits %d\n", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    file("uid_map", "/proc/self/uid_map", NULL);
    file("gid_map", "/proc/self/gid_map", NULL);
    file("oom_score_adj", "/proc/self/oom_score_adj", NULL);
    static const char *const names[] = {"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as",
                                        "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"};
    for (int i = 0; i < 16; i++) {
        struct rlimit limit;
        getrlimit(i, &limit);
        printf("rlimit %s %ld %ld\n", names[i], (long)limit.rlim_cur, (long)limit.rlim_max);
    }
}

static const char *writing(const char *path) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) close(fd);
    return fd >= 0 ? "opens for writing" : errno == EROFS ? "read-only" : errno == EACCES || errno == EPERM ? "not permitted" : strerror(errno);
}

// What lies at a path: absent, a device, a directory with or without entries, a file.
static void path(const char *path) {
    struct stat status;
    struct statvfs mounted;
    printf("path %s ", path);
    if (lstat(path, &status) != 0) {
        printf("%s\n", errno == ENOENT ? "absent" : strerror(errno));
    } else if (S_ISCHR(status.st_mode)) {
        printf("device %d:%d\n", major(status.st_rdev), minor(status.st_rdev));
    } else if (S_ISDIR(status.st_mode)) {
        int entries = 0;
        DIR *dir = opendir(path);
        for (struct dirent *entry; dir && (entry = readdir(dir));) entries += entry->d_name[0] != '.';
        if (dir) closedir(dir);
        statvfs(path, &mounted);
        printf("%s directory, %s\n", entries ? "full" : "empty", mounted.f_flag & ST_RDONLY ? "read-only" : "writable");
    } else {
        printf("file, %s\n", writing(path));
    }
}

static void paths(void) {
    static const char *const all[] = {
        "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
        "/sys/firmware", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
        "/proc/sys/kernel/hostname", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/kmsg",
        "/proc/kallsyms", "/proc/config.gz", "/proc/iomem", "/proc/self/oom_score_adj", "/sys", "/sys/fs/cgroup",
        "/sys/kernel", "/sys/kernel/debug", "/sys/kernel/security", "/sys/fs/bpf", "/sys/fs/fuse", NULL};
    for (const char *const *each = all; *each; each++) path(*each);
    for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++) {
        char thermal[96];
        snprintf(thermal, sizeof thermal, "/sys/devices/system/cpu/cpu%d/thermal_throttle", cpu);
        path(thermal);
    }
}

static void mounts(void) {
    char line[8192];
    FILE *stream = fopen("/proc/self/mountinfo", "re");
    while (stream && fgets(line, sizeof line, stream)) {
        char root[512], at[512], flags[512], kind[64], super[4096] = "";
        char *tail = strstr(line, " - ");
        if (!tail || sscanf(line, "%*s %*s %*s %511s %511s %511s", root, at, flags) != 3) continue;
        sscanf(tail, " - %63s %*s %4095s", kind, super);
        // An overlay's options name the host's folders.
        printf("mount %s %s %s %s\n", at, kind, flags, strcmp(kind, "overlay") == 0 ? "" : super);
    }
    if (stream) fclose(stream);
}

static void devices(const char *folder) {
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char at[512], target[256] = "";
        struct stat status;
        snprintf(at, sizeof at, "%s/%s", folder, names[i]->d_name);
        if (strcmp(names[i]->d_name, ".") == 0 || strcmp(names[i]->d_name, "..") == 0 || lstat(at, &status) != 0) continue;
        if (readlink(at, target, sizeof target - 1) < 0) target[0] = 0;
        printf("dev %s %o %u:%u %s\n", at, status.st_mode, major(status.st_rdev), minor(status.st_rdev), target);
        if (S_ISDIR(status.st_mode)) devices(at);
    }
}

static void deed(const char *name, int result) {
    printf("deed %s: %s\n", name, result < 0 ? strerror(errno) : "done");
}

// Deeds that a container refuses, or that leave nothing behind. On a host, where root may do all of them, none is tried.
static void deeds(void) {
    int fd;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct held[2];
    if (syscall(SYS_capget, &header, held) != 0 || held[0].effective & 1u << CAP_SYS_ADMIN) {
        printf("deeds: not tried with CAP_SYS_ADMIN\n");
        return;
    }
    deed("mknod null", mknod("/.probe", S_IFCHR | 0666, makedev(1, 3)));
    deed("open own null", fd = open("/.probe", O_RDWR | O_CLOEXEC));
    close(fd);
    unlink("/.probe");
    deed("mknod disk", mknod("/.probe", S_IFBLK | 0600, makedev(7, 0)));
    deed("open own disk", fd = open("/.probe", O_RDONLY | O_CLOEXEC));
    close(fd);
    unlink("/.probe");
    deed("mount tmpfs", mount("tmpfs", "/dev/shm", "tmpfs", 0, ""));
    deed("remount /proc/sys", mount("", "/proc/sys", "", MS_REMOUNT | MS_BIND, ""));
    deed("unmount /proc/kcore", umount2("/proc/kcore", MNT_DETACH));
    deed("new user namespace", unshare(CLONE_NEWUSER));
    deed("set host name", sethostname("probe", 5));
    deed("be nicer", setpriority(PRIO_PROCESS, 0, -1));
    deed("open /dev/tty", fd = open("/dev/tty", O_RDWR | O_CLOEXEC));
}

static void surroundings(char **environment) {
    char text[256] = "";
    file("domain", "/proc/sys/kernel/domainname", NULL);
    for (char **each = environment; *each; each++)
        if (strncmp(*each, "HOSTNAME=", 9) != 0) printf("env %s\n", *each);
    printf("cwd %s\n", getcwd(text, sizeof text));
    printf("pid %d, parent %d, group %d, session %d\n", getpid(), getppid(), getpgrp(), getsid(0));
    file("ping", "/proc/sys/net/ipv4/ping_group_range", NULL);
    file("ports", "/proc/sys/net/ipv4/ip_unprivileged_port_start", NULL);
    file("cgroup", "/proc/self/cgroup", NULL);
    for (int fd = 0; fd < 1024; fd++)
        if (fd != fileno(stdout) && fcntl(fd, F_GETFD) >= 0) printf("open descriptor %d\n", fd);
}

int main(int count, char **arguments, char **environment) {
    if (count > 1 && !freopen(arguments[1], "we", stdout)) return 1;
    surroundings(environment);
    credentials();
    paths();
    mounts();
    devices("/dev");
    deeds();
    fflush(stdout);
    calls();
    return fflush(stdout) != 0;
}
