#!/bin/bash
# Become a machine: boot.sh ROOT HOSTNAME SHARE, in private mount, pid, uts, ipc, net and cgroup namespaces.
# Everything is written to a tmpfs above the directory ROOT; SHARE appears as /mnt; systemd becomes process 1.
set -eu
base=$1 name=$2 share=$3
mount --make-rprivate /
scratch=$base/mnt
exec 3<"$share"
mount -t tmpfs machine "$scratch"
mkdir "$scratch"/{upper,work,root}
mount -t overlay machine -o "lowerdir=$base,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
cd "$scratch/root"
mount --bind /proc/self/fd/3 mnt
exec 3<&-
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mkdir dev/net dev/pts dev/shm
mknod -m 666 dev/net/tun c 10 200
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
# What would change the kernel that all machines share.
mkdir -p run/systemd/system
for unit in systemd-sysctl systemd-modules-load systemd-remount-fs systemd-binfmt; do
    ln -s /dev/null "run/systemd/system/$unit.service"
done
echo "$name" >etc/hostname
hostname "$name"
ip link set lo up
mkdir -p run/host-root
pivot_root . run/host-root
umount --lazy /run/host-root
# The first process cannot do this itself in a container, and credentials would not reach the services.
mount --make-rshared /
export container=lxc
exec /lib/systemd/systemd --system --unit=multi-user.target
