# What users and owners are for, with Debian's own programs. What they say goes into files, which are compared too.
FROM base AS tools
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        sudo gosu libcap2-bin python3-minimal attr acl rsync adduser procps

FROM base AS other
RUN mkdir /o && touch /o/f && ln -s f /o/l && chown 5:6 /o /o/f && chown -h 7:8 /o/l

FROM tools
RUN adduser --disabled-password --gecos x app && adduser --system --group svc && usermod -aG svc app && \
    deluser svc && addgroup --system grp && gpasswd -a app grp && chage -M 90 app && id app >/users
RUN install -o app -g 5 -m 4755 /bin/true /usr/bin/t && cp -a /usr/bin/t /u && mv /u /v && ln /v /w && ls -ln /v /w | sed 's/ [A-Z][a-z][a-z] .*:.. / /' >/installed && \
    sed -i s/a/b/ /home/app/.bashrc && stat -c %u:%g /home/app/.bashrc >>/installed && chown -R app:grp /opt && \
    dpkg-statoverride --add --update app staff 2755 /usr/bin/chage && stat -c '%u:%g %a' /usr/bin/chage >>/installed
RUN cp /bin/true /c && setcap cap_net_raw+ep /c && getcap /c >/caps && chown app /c && getcap /c >>/caps; \
    setcap cap_net_bind_service=+p /c && getcap /c >>/caps && capsh --print | grep -v IAB >>/caps
RUN { sudo -u app id; gosu app:grp sh -c 'id; touch /tmp/g'; stat -c %u:%g /tmp/g; \
      setpriv --reuid 5 --regid 6 --groups 7,8 sh -c 'id; touch /tmp/s'; stat -c %u:%g /tmp/s; \
      runuser -u app -- id; su - app -c 'pwd; id; sudo -n id; umask 077; mkdir m; echo x >m/x; ln -s m l; mkfifo p'; \
      perl -e '$>=1000; print "$< $>\n"; $>=0; $)="5 5 6"; $>=33; open F,">","/tmp/pf"; close F; system "stat -c %u:%g /tmp/pf"'; } >/said 2>&1; true
RUN printf '%s\n' 'import os' 'os.setresuid(1, 2, 3)' 'print(os.getresuid(), os.getgroups())' 'os.seteuid(3)' \
        'print(os.geteuid()); open("/tmp/py", "w"); s = os.stat("/tmp/py"); print(s.st_uid, s.st_gid)' \
        'for deed in (lambda: os.chown("/tmp/py", 0, 0)), (lambda: os.setuid(0)), (lambda: os.setgroups([])):' \
        '    try: deed(); print("done")' '    except OSError as error: print(error)' >/ids.py && python3 /ids.py >/ids
RUN cd /home/app && touch a && chown app:grp a && setfattr -n user.x -v y a && cp -a a b && rsync -aX a c && \
    cp --preserve=xattr a d && getfattr -d -m - a b c d >/attributes && setfacl -m u:33:rw a && stat -c '%n %u:%g %a' a b c d >>/attributes
RUN mkdir -p /cr/usr /cr/etc /cr/tmp && chmod 1777 /cr/tmp && cp -a /bin /sbin /lib /lib64 /cr/ && cp -a /usr/bin /usr/lib /usr/lib64 /usr/sbin /cr/usr/ && \
    cp /etc/passwd /etc/group /cr/etc/ && ln -s /etc/passwd /cr/link && { \
    chroot /cr sh -c 'chown 5:6 /link; chown -h 7:8 /link; cd /tmp; touch x; chown app x; stat -c "%n %u:%g" /link /etc/passwd x; install -o app /bin/true /y'; \
    chroot --userspec=app:grp /cr sh -c 'id -u; touch /tmp/q; ln -s a /tmp/w; stat -c "%n %u:%g" /tmp/q /tmp/w'; } >/chrooted 2>&1 && \
    rm -rf /cr/usr /cr/bin /cr/sbin /cr/lib*
RUN --mount=type=bind,from=other,source=/o,target=/m --mount=type=cache,target=/k,uid=33,gid=34,mode=0700 \
    cp -a /m /bound && stat -c '%n %u:%g %a' /m /m/f /m/l /k >/mounts
RUN --mount=type=tmpfs,target=/t cp /usr/bin/id /sid && chown daemon:daemon /sid && chmod 6755 /sid && cp -a /sid /t/ && { \
    /sid; setpriv --no-new-privs /sid; /t/sid; setpriv --reuid 5 --clear-groups /sid; \
    setpriv --reuid 5 --regid 7 --clear-groups --no-new-privs /sid; } >/set-id 2>&1
RUN { touch /f && exec 3</f && chown 9:9 /dev/fd/3 && stat -c %u:%g /f && chown 10 /proc/self/fd/3 && stat -c %u:%g /f; \
      chown 5 /nope; chown 5 /etc/passwd/x; touch /dev/shm/a && chown 5:5 /dev/shm/a && stat -c %u:%g /dev/shm/a; find / -xdev -user app | sort; } >/odd 2>&1; true
USER app
RUN touch ~/mine && ! chown 0 ~/mine 2>~/why && mkfifo ~/q && id >~/id && sudo -n true 2>>~/why || true
USER 1234:77
RUN touch /tmp/z && mkdir /tmp/y
